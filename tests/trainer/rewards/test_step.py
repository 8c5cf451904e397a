import pytest

from trainer.rewards.step import covered_s


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [([], 0), ([(1, 3)], 2), ([(1, 3), (5, 6)], 3), ([(1, 4), (2, 3), (3, 6)], 5), ([(2, 3), (1, 2)], 2)],
)
def test_covered_seconds_count_overlapping_spans_once(spans, seconds):
    assert covered_s(spans) == seconds
