"""Bradley-Terry-with-Ties: preference probabilities from rewards.

Identity-GRPO (arXiv 2510.14256) section 3.2.1, equations 1 to 3, after Rao & Kupper (1967): with the tie parameter
theta > 1 and d = r_A - r_B,

    P(A wins) = sigmoid(d - ln theta),   P(B wins) = sigmoid(-d - ln theta),
    P(tie)    = (theta^2 - 1) P(A wins) P(B wins).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

THETA = 5.0

Float64 = NDArray[np.float64]


class Preference(StrEnum):
    """Which of two videos keeps the identities better."""

    A = "A"
    B = "B"
    TIE = "tie"


def _check(theta: float) -> float:
    if not theta > 1 or not np.isfinite(theta):
        raise ValueError(f"theta must be a finite number above 1, got {theta}")
    return float(theta)


def _log_sigmoid(x: Float64) -> Any:
    with np.errstate(invalid="ignore"):  # NaN marks a missing reward
        return -np.logaddexp(0.0, -x)


def probabilities(difference: ArrayLike, theta: float = THETA) -> tuple[Any, Any, Any]:
    """(P(A wins), P(tie), P(B wins)) for `difference` = r_A - r_B, a scalar or an array of any shape.

    Each is float64 of that shape, in [0, 1]; the three add up to 1. NaN differences have NaN probabilities. ValueError
    for a theta that is not a finite number above 1.
    """
    log_theta = np.log(_check(theta))
    d = np.asarray(difference, dtype=np.float64)
    log_a, log_b = _log_sigmoid(d - log_theta), _log_sigmoid(-d - log_theta)
    return np.exp(log_a), np.exp(np.log(theta**2 - 1) + log_a + log_b), np.exp(log_b)


def tie_band(theta: float = THETA) -> float:
    """Largest |r_A - r_B| at which a tie is at least as likely as a win: ln((theta^2 - 2) / theta), 1.526 at theta 5.

    At theta <= 2 a tie is never the most likely outcome and the band is 0.
    """
    return float(np.log((theta**2 - 2) / theta)) if _check(theta) > 2 else 0.0


def verdict(difference: float, theta: float = THETA) -> Preference:
    """The most likely of the three outcomes for r_A - r_B. Equal rewards are a tie at any theta."""
    p_a, p_tie, p_b = probabilities(difference, theta)
    if difference == 0 or p_tie >= max(p_a, p_b):
        return Preference.TIE
    return Preference.A if p_a > p_b else Preference.B


def matrices(rewards_G: ArrayLike, theta: float = THETA) -> tuple[Float64, Float64]:
    """(win_GG, tie_GG), float64 [G, G]: win[i, j] = P(i beats j), tie[i, j] = P(tie) for rewards [G].

    The diagonal of `win` is P(win | equal) = 1 / (1 + theta), of `tie` (theta - 1) / (theta + 1). NaN rewards (missing)
    have NaN rows and columns.
    """
    rewards = np.asarray(rewards_G, dtype=np.float64)
    win_GG, tie_GG, _ = probabilities(rewards[:, None] - rewards[None, :], theta)
    return win_GG, tie_GG
