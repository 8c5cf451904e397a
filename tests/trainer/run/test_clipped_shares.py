import pytest

from trainer.run.clipped_shares import WINDOW, ClippedShares


def warnings(*shares):
    watch = ClippedShares()
    return [warning for share in shares if (warning := watch.observe(share)) is not None]


@pytest.mark.parametrize(("share", "message"), [(0.0, "no ratio was clipped"), (1.0, "every ratio was clipped")])
def test_ten_updates_at_an_end_warn_once(share, message):
    assert not warnings(*[share] * (WINDOW - 1))
    [warning] = warnings(*[share] * 3 * WINDOW)
    assert message in warning


def test_other_shares_start_the_count_again():
    nearly = [0.0] * (WINDOW - 1)
    assert not warnings(*nearly, 0.1, *nearly, 1.0, *nearly)
    assert len(warnings(*nearly, 0.0, 0.2, *nearly, 0.0)) == 2
