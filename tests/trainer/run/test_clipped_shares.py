import logging

import pytest

from trainer.run.clipped_shares import WINDOW, ClippedShares


def warnings(caplog, *shares):
    watch = ClippedShares()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for number, share in enumerate(shares):
            assert watch.check(number, {} if share is None else {"clipped": share}) is None
    return caplog.messages


@pytest.mark.parametrize(("share", "message"), [(0.0, "no ratio was clipped"), (1.0, "every ratio was clipped")])
def test_ten_updates_at_an_end_warn_once(caplog, share, message):
    assert not warnings(caplog, *[share] * (WINDOW - 1))
    [warning] = warnings(caplog, *[share] * 3 * WINDOW)
    assert message in warning


def test_other_shares_start_the_count_again(caplog):
    nearly = [0.0] * (WINDOW - 1)
    assert not warnings(caplog, *nearly, 0.1, *nearly, 1.0, *nearly)
    assert len(warnings(caplog, *nearly, 0.0, 0.2, *nearly, 0.0)) == 2


def test_steps_without_ratios_are_left_out(caplog):
    assert not warnings(caplog, *[None] * 3 * WINDOW)
