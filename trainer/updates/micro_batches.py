"""Micro-batches of an update: which members of which groups share a forward pass, and what an update holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from reward_model.data.seeding import generator

from ..advantages import Bool, Float64
from ..config import GrpoConfig
from ..rollout import GroupRollout, chunks


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """B members of one group. Those without an advantage stay in it, with weight 0: a forward pass of another shape
    would round differently."""

    rollout: GroupRollout
    # int64 [B]
    members: torch.Tensor
    # float32 [B], 0 where there is none
    advantages: torch.Tensor
    # float32 [B]: 1, or 0 without an advantage
    used: torch.Tensor


@dataclass(frozen=True, eq=False)
class OptimizerBatch:
    """What one optimizer step holds in this process, and numbers of it over all processes."""

    # forward and backward passes: micro-batches with each of their trained steps; at least one
    parts: list[tuple[MicroBatch, int]]
    # of the groups, for messages
    keys: list[str]
    # samples with an advantage, over all processes
    num_samples: int
    # those times trained steps
    num_values: int
    # passes of the process that has most; each runs as many
    num_passes: int

    def passes(self) -> Iterator[tuple[MicroBatch, int, bool]]:
        """(micro-batch, step, whether it counts) of each pass; a process with fewer repeats its last without weight."""
        for number in range(self.num_passes):
            yield *self.parts[min(number, len(self.parts) - 1)], number < len(self.parts)


@dataclass(frozen=True, eq=False)
class GroupAdvantages:
    """A rollout of this process with the advantages of its members: [G], NaN where `used_G` is False."""

    rollout: GroupRollout
    advantages_G: Float64
    used_G: Bool


def optimizer_batches(
    groups: Sequence[GroupAdvantages], steps: Sequence[int], config: GrpoConfig, number: int, accelerator: Accelerator
) -> list[OptimizerBatch]:
    """The batches of the updates from rollout `number`, of which each micro-batch takes the `steps`.

    `groups` are those of this process, equally many in each; every process calls it.
    """
    divided = divide(groups, config, number)
    counts = torch.tensor(
        [[sum(int(part.used.sum()) for part in parts), len(parts) * len(steps)] for parts in divided],
        device=accelerator.device,
    )
    # [processes, updates, 2]
    gathered = accelerator.gather(counts[None])
    num_samples, num_passes = gathered[..., 0].sum(0).tolist(), gathered[..., 1].max(0).values.tolist()
    keys = [group.rollout.key for group in groups]
    batches = []
    for parts, samples, passes in zip(divided, num_samples, num_passes, strict=True):
        own = parts or [without_weight(groups[0].rollout, config.micro_batch)]
        pairs = [(part, step) for part in own for step in steps]
        batches.append(OptimizerBatch(pairs, keys, samples, samples * len(steps), passes))
    return batches * config.passes


def divide(groups: Sequence[GroupAdvantages], config: GrpoConfig, number: int) -> list[list[MicroBatch]]:
    """For every update of rollout `number` its micro-batches, without those of which no member is used.

    An update holds whole groups; with `scatter_members`, some members of all groups.
    """
    updates = config.updates_per_rollout
    if config.scatter_members:
        by_group = [_scattered(group, config, number) for group in groups]
    else:
        size = len(groups) // updates
        by_group = [
            [
                _micro_batches(group, np.arange(len(group.used_G)), config.micro_batch) if update == g // size else []
                for update in range(updates)
            ]
            for g, group in enumerate(groups)
        ]
    return [[part for parts in by_group for part in parts[update]] for update in range(updates)]


def _scattered(group: GroupAdvantages, config: GrpoConfig, number: int) -> list[list[MicroBatch]]:
    order = generator(config.seed, "members", number, group.rollout.key).permutation(len(group.used_G))
    return [_micro_batches(group, part, config.micro_batch) for part in np.split(order, config.updates_per_rollout)]


def _micro_batches(group: GroupAdvantages, members: np.ndarray, size: int) -> list[MicroBatch]:
    device = group.rollout.final.device
    batches = []
    for part in chunks(len(members), size):
        chosen = members[part.start : part.stop]
        used = group.used_G[chosen]
        if used.any():
            advantages = np.where(used, group.advantages_G[chosen], 0.0).astype(np.float32)
            batches.append(
                MicroBatch(
                    group.rollout,
                    torch.from_numpy(chosen).to(device),
                    torch.from_numpy(advantages).to(device),
                    torch.from_numpy(used.astype(np.float32)).to(device),
                )
            )
    return batches


def without_weight(rollout: GroupRollout, size: int) -> MicroBatch:
    """The first members of a group with weight 0, for a process whose groups were all dropped."""
    members = torch.arange(min(size, len(rollout)), device=rollout.final.device)
    zeros = torch.zeros(len(members), device=rollout.final.device)
    return MicroBatch(rollout, members, zeros, zeros)
