"""Noise levels of the steps of a flow-matching sampler, by the name of the sampler that defines them.

Own tables, since a library's change between versions (diffusers 0.35 and 0.42 start UniPC at 0.9997 and 0.999999).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

ScheduleName = Literal["unipc", "flow_match_euler", "wan"]

# time steps that a model's training divides [0, 1] into
TRAINING_STEPS = 1000
SMALLEST = 1 / TRAINING_STEPS
# diffusers' UniPC keeps the first sigma below 1 by this much
EPS = 1e-6

_Sigmas = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class SigmaSchedule:
    """Noise levels: latents at step k are (1 - sigmas[k]) data + sigmas[k] noise."""

    # float64 [N + 1], decreasing, the last one 0
    sigmas: torch.Tensor
    # int(1000 sigma) of the first N: models were trained with these integers
    timesteps: list[int]

    def __len__(self) -> int:
        return len(self.timesteps)

    def step(self, k: int) -> tuple[float, float]:
        """Noise levels before and after step k in 0..N-1."""
        return float(self.sigmas[k]), float(self.sigmas[k + 1])


def sigma_schedule(name: str, num_steps: int, shift: float) -> SigmaSchedule:
    """The table of `num_steps` steps, moved towards noise by `shift` (1: not at all; Wan at 480p: 3, at 720p: 5).

    - unipc: UniPCMultistepScheduler with flow sigmas, diffusers 0.42
    - flow_match_euler: FlowMatchEulerDiscreteScheduler, diffusers 0.42. It shifts its smallest sigma twice, so that its
      tail is another than that of the other two
    - wan: UniPCMultistepScheduler of diffusers up to 0.35, and the original code of Wan and Phantom

    ValueError for an unknown name, and for numbers that are not positive.
    """
    if name not in _TABLES:
        raise ValueError(f"schedule is {name!r}; there are {', '.join(get_args(ScheduleName))}")
    if num_steps < 1 or not shift > 0:
        raise ValueError(f"num_steps and shift are positive, got {num_steps} and {shift}")
    sigmas = _TABLES[name](num_steps, shift)
    return SigmaSchedule(
        torch.from_numpy(np.append(sigmas, 0.0)), [int(sigma * TRAINING_STEPS) for sigma in sigmas.tolist()]
    )


def _shifted(sigmas: _Sigmas, shift: float) -> _Sigmas:
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def _unipc(num_steps: int, shift: float) -> _Sigmas:
    sigmas = _shifted(np.linspace(1, SMALLEST, num_steps + 1)[:-1], shift)
    sigmas[0] -= EPS
    return sigmas


def _flow_match_euler(num_steps: int, shift: float) -> _Sigmas:
    smallest = shift * SMALLEST / (1 + (shift - 1) * SMALLEST)
    return _shifted(np.linspace(1, smallest, num_steps), shift)


def _wan(num_steps: int, shift: float) -> _Sigmas:
    return _shifted(np.linspace(1 - SMALLEST, 0, num_steps + 1)[:-1], shift)


_TABLES: dict[str, Callable[[int, float], _Sigmas]] = {
    "unipc": _unipc,
    "flow_match_euler": _flow_match_euler,
    "wan": _wan,
}
