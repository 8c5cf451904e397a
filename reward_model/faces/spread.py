"""Disagreement of the members of a reward head."""

from __future__ import annotations

import numpy as np

from identity_reward_client.preference import THETA, tie_band


def member_spread(rewards_M: np.ndarray, preference_scale: float) -> float | None:
    """Population standard deviation of the members' rewards, over the largest reward difference that is a tie.

    1: the members differ as much as two videos that are called a tie at the default theta. None for fewer than two
    members.
    """
    if len(rewards_M) < 2:
        return None
    return float(np.std(np.asarray(rewards_M, np.float64)) * preference_scale / tie_band(THETA))
