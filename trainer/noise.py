"""Noise of samples from named generators: it depends on neither the device, the process nor the micro-batch.

Every sample has a generator of its own for its initial noise and one for each step. A shared generator makes the
members of a group equal where processes sample alike (flow_grpo#137).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reward_model.data.seeding import torch_seed


@dataclass(frozen=True)
class Noise:
    """The noise of one update of a run, or of an evaluation (`update` -1: the same in every evaluation)."""

    seed: int
    update: int

    def initial(self, shape: Sequence[int], group: str, members: Sequence[int], same: bool = False) -> torch.Tensor:
        """Float32 [members, *shape] on the CPU; with `same`, every member has the noise of member 0."""
        return self._stack(shape, group, [0 if same else member for member in members], "initial")

    def of_step(self, step: int, shape: Sequence[int], group: str, members: Sequence[int]) -> torch.Tensor:
        """What a step of the sampler adds: float32 [members, *shape] on the CPU."""
        return self._stack(shape, group, members, f"step {step}")

    def of_training(self, index: int, shape: Sequence[int], group: str, members: Sequence[int]) -> torch.Tensor:
        """For the noise level of this index that clean latents are trained on: float32 [members, *shape] on the CPU."""
        return self._stack(shape, group, members, f"training {index}")

    def _stack(self, shape: Sequence[int], group: str, members: Sequence[int], purpose: str) -> torch.Tensor:
        return torch.stack(
            [
                torch.randn(*shape, generator=torch.Generator().manual_seed(self._seed_of(group, member, purpose)))
                for member in members
            ]
        )

    def _seed_of(self, group: str, member: int, purpose: str) -> int:
        return torch_seed(self.seed, self.update, group, member, purpose)
