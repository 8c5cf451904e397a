from reward_model.training.errors import NotFinite, TrainingError


def test_a_value_that_is_not_finite_is_explained_in_one_line():
    error = NotFinite("loss", float("nan"), "with pairs a, b", "Lower `rate`")
    assert isinstance(error, TrainingError)
    assert str(error) == "the loss is nan, with pairs a, b. Lower `rate`"
