"""Disagreement of the members of a reward head."""

from __future__ import annotations

import numpy as np

from identity_reward_client.preference import THETA, tie_band


def member_spread(rewards_M: np.ndarray, preference_scale: float = 1.0, scale: float = 1.0) -> float | None:
    """Population standard deviation of the members' rewards times `scale`, over the largest difference that is a tie.

    1: as much as two videos differ that are called a tie at the default theta. `scale` calibrates it against errors on
    held-out data, as members that share their data differ less than they err. None for fewer than two members.
    """
    if len(rewards_M) < 2:
        return None
    return float(np.std(np.asarray(rewards_M, np.float64)) * scale * preference_scale / tie_band(THETA))
