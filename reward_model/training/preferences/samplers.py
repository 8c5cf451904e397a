"""Sampling of a step's pairs from two pools: Identity-GRPO (arXiv 2510.14256) section 3.2.2, and 4.1 for its variants.

The pools are `clean` (labelled by people) and `auto` (labelled by machines, filtered by a teacher). Each slot of a
batch takes a pair of `auto` with probability alpha_t; each pool is sampled without replacement, in a new order every
epoch. All of it follows from (seed, step, slot): a resumed run, and any number of processes, see the same pairs.

Legend: T steps, B slots of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from reward_model.data.seeding import generator

from ..errors import TrainingError

Pool = Literal["clean", "auto"]

# name -> alpha of t / T in [0, 1), [T], given the share of `auto` among all pairs
SCHEDULES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    # "random sampling": the two pools as one
    "random": np.full_like,
    # "staged sampling": auto in the first half of the steps, clean in the second
    "staged": lambda t, share: (t < 0.5).astype(float),
    # "smooth sampling", equation 5
    "smooth": lambda t, share: 0.5 * (1 + np.cos(np.pi * t)),
}


@dataclass(frozen=True)
class SampledUnit:
    """A unit of a step (a pair, or a cast with `data.groups`), by its pool and index there.

    `seed` decides its augmentation. A and B are never exchanged, as the loss is symmetric.
    """

    pool: Pool
    index: int
    seed: int


class PairSampler:
    """`samples(step)` for step in [0, num_steps): the `batch` pairs of a step, over all processes.

    `alpha_T` is float [T], the probability of `auto` in each step. Raises TrainingError where both pools are empty.
    """

    def __init__(self, num_clean: int, num_auto: int, batch: int, num_steps: int, schedule: str, seed: int):
        if not num_clean + num_auto:
            raise TrainingError("there are no pairs to train on: both pools are empty")
        self.sizes: dict[Pool, int] = {"clean": num_clean, "auto": num_auto}
        self.batch, self.num_steps, self.seed = batch, num_steps, seed
        steps = np.arange(num_steps)
        alpha_T = SCHEDULES[schedule](steps / num_steps, num_auto / (num_clean + num_auto))
        if not num_auto or not num_clean:
            alpha_T = np.full(num_steps, float(num_clean == 0))
        self.alpha_T = alpha_T
        uniform_TB = np.stack([generator(seed, "pool", int(step)).random(batch) for step in steps])
        self._auto_TB = uniform_TB < alpha_T[:, None]
        flat = self._auto_TB.ravel()
        # number of earlier samples of the same pool
        self._before_TB = (np.where(flat, np.cumsum(flat), np.cumsum(~flat)) - 1).reshape(num_steps, batch)
        self._permutation = lru_cache(maxsize=8)(self._permuted)

    def samples(self, step: int) -> list[SampledUnit]:
        """The samples of a step, one for each slot."""
        seeds = generator(self.seed, "augment", step).integers(0, 2**31, self.batch)
        return [self._sample(step, slot, int(seeds[slot])) for slot in range(self.batch)]

    def _sample(self, step: int, slot: int, seed: int) -> SampledUnit:
        pool: Pool = "auto" if self._auto_TB[step, slot] else "clean"
        epoch, position = divmod(int(self._before_TB[step, slot]), self.sizes[pool])
        return SampledUnit(pool, int(self._permutation(pool, epoch)[position]), seed)

    def _permuted(self, pool: Pool, epoch: int) -> np.ndarray:
        return generator(self.seed, "epoch", pool, epoch).permutation(self.sizes[pool])


def slots_of(rank: int, num_processes: int, batch: int) -> range:
    """Adjacent slots of a batch that process `rank` computes, equally many for each process. Raises TrainingError where
    the batch cannot be divided."""
    if batch % num_processes:
        raise TrainingError(f"a batch of {batch} pairs can't be shared by {num_processes} processes; choose a multiple")
    share = batch // num_processes
    return range(rank * share, (rank + 1) * share)
