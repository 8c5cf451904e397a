import numpy as np
import pytest

from trainer.rewards.early_stop import EarlyStop

NAN = float("nan")


def values(trained, watched):
    return {"reward": trained, "reward_arcface": watched}


def rule(fall, window, history=()):
    return EarlyStop("arcface", fall, window, history)


def first_stop(rule, trained, watched):
    """(number of updates, reason) at the first reason."""
    for n, rewards in enumerate(zip(trained, watched, strict=True), 1):
        if reason := rule.check(n - 1, values(*rewards)):
            return n, reason
    return None


def test_a_watched_reward_that_falls_while_the_trained_one_rises_stops():
    n, reason = first_stop(rule(fall=0.09, window=3), np.arange(20) * 0.1, 1 - np.arange(20) * 0.02)
    assert n == 8, "the average of updates 6 to 8 is 0.1 below that of 1 to 3"
    assert "in means of 3 steps, arcface fell from 0.98 to 0.88 while the trained reward rose from 0.1 to 0.6" in reason


@pytest.mark.parametrize(
    ("trained", "watched"),
    [
        (np.arange(30) * 0.1, np.full(30, 0.5)),
        (np.arange(30) * 0.1, np.arange(30) * 0.1),
        (1 - np.arange(30) * 0.1, 1 - np.arange(30) * 0.1),
        (np.arange(30) * 0.1, np.tile([0.5, 0.3], 15)),
        (np.arange(30) * 0.1, np.full(30, NAN)),
    ],
    ids=["steady", "both rise", "both fall", "noise within the window", "never measured"],
)
def test_other_curves_do_not(trained, watched):
    assert first_stop(rule(fall=0.15, window=4), trained, watched) is None


def test_a_fall_is_measured_from_the_highest_average():
    n, _ = first_stop(rule(fall=0.2, window=1), range(7), [0.0, 0.5, 1.0, 0.95, 0.9, 0.85, 0.7])
    assert n == 7


def test_missing_rewards_are_left_out_and_a_resumed_run_remembers():
    history = [values(0.0, 1.0), values(NAN, 0.0), {"reward": 9.0}, values(0.1, 1.0), values(0.2, 0.7)]
    assert rule(0.25, 2, history).check(5, values(0.3, 0.7)) is not None
    assert rule(0.25, 2).check(5, values(0.3, 0.7)) is None


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="fall is above 0"):
        rule(fall=0, window=3)
