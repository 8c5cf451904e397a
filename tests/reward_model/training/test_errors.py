from reward_model.training.errors import NotFinite, TrainingError


def test_not_finite_error_names_quantity_value_and_remedy():
    error = NotFinite("loss", float("nan"), "with pairs a, b", "Lower `rate`")
    assert isinstance(error, TrainingError)
    assert str(error) == "the loss is nan, with pairs a, b. Lower `rate`"
