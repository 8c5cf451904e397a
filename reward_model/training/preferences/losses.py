"""Losses on a pair's difference of rewards. Identity-GRPO (arXiv 2510.14256) section 3.2.1, equations 1 to 4.

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

MARGIN = 0.57  # of VideoAlign's constant-margin variant


class PreferenceLoss(Protocol):
    # False: a tie teaches nothing, and a pair of that label has loss 0 and no weight in a mean
    learns_from_ties: bool

    def __call__(self, difference_N: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """float [N] differences and any-dtype [N] labels in {+1, 0, -1} -> the loss of each pair, [N]."""
        ...


@dataclass(frozen=True)
class BradleyTerryWithTies:
    """Negative log-likelihood under Rao & Kupper's model. Only logsigmoid is used: finite for every finite d."""

    theta: float = THETA
    learns_from_ties = True

    def __post_init__(self):
        if not 1 < self.theta < float("inf"):
            raise ValueError(f"theta must be a finite number above 1, got {self.theta}")

    def __call__(self, difference_N: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        shift = log(self.theta)
        a_wins, b_wins = logsigmoid(difference_N - shift), logsigmoid(-difference_N - shift)
        decided = -torch.where(label_N > 0, a_wins, b_wins)
        tied = -a_wins - b_wins - log(self.theta**2 - 1)
        return torch.where(label_N == 0, tied, decided)


@dataclass(frozen=True)
class BradleyTerry:
    """-logsigmoid(d - margin) for the better video's d; ties are left out."""

    margin: float = 0.0
    learns_from_ties = False

    def __call__(self, difference_N: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        return -logsigmoid(label_N * difference_N - self.margin) * (label_N != 0)


LOSSES: dict[str, Callable[[float, float], PreferenceLoss]] = {
    "btt": lambda theta, margin: BradleyTerryWithTies(theta),
    "bt": lambda theta, margin: BradleyTerry(),
    "margin": lambda theta, margin: BradleyTerry(margin),
}


def preference_loss(kind: str, theta: float = THETA, margin: float = MARGIN) -> PreferenceLoss:
    """`btt`, `bt` or `margin` (a constant one); an unknown name is a KeyError."""
    return LOSSES[kind](theta, margin)
