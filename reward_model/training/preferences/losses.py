"""Losses on a pair's difference of rewards: Identity-GRPO (arXiv 2510.14256) section 3.2.1, equations 1 to 4.

Legend: N pairs; d = r_A - r_B; label +1 (A is better), 0 (tie), -1 (B is better).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Protocol

import torch
from torch.nn.functional import logsigmoid

from identity_reward_client.preference import THETA

from ..configs.preferences import MARGIN


class PreferenceLoss(Protocol):
    """A loss of each pair; `learns_from_ties` is False where ties have loss 0 and no weight in a mean."""

    learns_from_ties: bool

    def __call__(self, difference_N: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """float [N] differences and [N] labels of any dtype in {+1, 0, -1} -> the loss of each pair, float [N] >= 0."""
        ...


@dataclass(frozen=True)
class BradleyTerryWithTies:
    """Negative log-likelihood (equation 4) of Rao and Kupper's model (1967).

    With s(x) = 1 / (1 + exp(-x)): P(A) = s(d - log theta), P(B) = s(-d - log theta), and
    P(tie) = (theta^2 - 1) P(A) P(B) (equations 1, 2 and 3, divided by e^r). Only logsigmoid is used, so that the loss
    is finite for every finite d. Raises ValueError unless 1 < theta < inf.
    """

    theta: float = THETA
    learns_from_ties = True

    def __post_init__(self) -> None:
        if not 1 < self.theta < float("inf"):
            raise ValueError(f"theta must be a finite number above 1, got {self.theta}")

    def __call__(self, difference_N: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        shift = log(self.theta)
        log_p_a, log_p_b = logsigmoid(difference_N - shift), logsigmoid(-difference_N - shift)
        decided = -torch.where(label_N > 0, log_p_a, log_p_b)
        tied = -log_p_a - log_p_b - log(self.theta**2 - 1)
        return torch.where(label_N == 0, tied, decided)


@dataclass(frozen=True)
class BradleyTerry:
    """-log s(d - margin) with the better video's d; ties have loss 0. Bradley and Terry (1952); the constant margin is
    VideoAlign's variant (arXiv 2501.13918)."""

    margin: float = 0.0
    learns_from_ties = False

    def __call__(self, difference_N: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        return -logsigmoid(label_N * difference_N - self.margin) * (label_N != 0)


# LossConfig.kind -> loss of (theta, margin)
LOSSES: dict[str, Callable[[float, float], PreferenceLoss]] = {
    "btt": lambda theta, margin: BradleyTerryWithTies(theta),
    "bt": lambda theta, margin: BradleyTerry(),
    "margin": lambda theta, margin: BradleyTerry(margin),
}


def preference_loss(kind: str, theta: float = THETA, margin: float = MARGIN) -> PreferenceLoss:
    """The loss `btt`, `bt` or `margin`; KeyError for another name."""
    return LOSSES[kind](theta, margin)
