import pytest

from reward_model.training.data.prefetch import prefetch
from reward_model.training.errors import TrainingError


def test_prefetch_yields_in_order_and_raises_an_error_at_its_item():
    def load(number):
        if number == 7:
            raise TrainingError("seven")
        return number

    results = prefetch(((n,) for n in range(20)), load, workers=3, ahead=5)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(TrainingError, match="seven"):
        next(results)
