"""What a run calls beside its algorithm: guards after every rollout, and an evaluation on fixed prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from ..prompts import Prompt
from ..types import ScoredGroup

# (prompt, number of videos) -> clips of the current weights, uint8 RGB frames_THWC each, from noise that depends on
# the prompt's key alone
SampleClips = Callable[[Prompt, int], list[np.ndarray]]
Weights = Literal["trained", "ema"]


class Guard(Protocol):
    """Watches rollouts for signs that the reward rises for another reason than better videos."""

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """Values of one group by name, each in the process that sampled it. The journal has their means over all groups
        that have the value."""

    def check(self, number: int, values: Mapping[str, float]) -> str | None:
        """The reason to stop after step `number`, from the values of its journal line; None to go on.

        Every process calls it with the same values.
        """


class PolicyEvaluation(Protocol):
    """Measures the policy on prompts that it is not trained on."""

    def measure(self, number: int, weights: Weights, sample: SampleClips) -> Mapping[str, Any]:
        """Values for the journal after `number` steps, equal in all processes; every process calls it."""


Guards = Sequence[Guard]
