"""A quick look at the development pairs while training goes on, every process with its share of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from identity_reward_client.preference import tie_band
from reward_model.data.records import PreferencePair
from reward_model.data.seeding import generator

from ..config import TrainConfig
from ..errors import TrainingError
from ..evaluation.statistics import Bootstrap, accuracy, best_epsilon, without_ties
from .dataset import PairFile, labels_of, read_ahead
from .groups import Group, comparisons, load_group
from .losses import BradleyTerryWithTies
from .media import MediaSource

# of the casts, at every measurement
RESAMPLES = 1000


def measure_dev(
    accelerator: Accelerator, packed: Any, media: MediaSource, dev: PairFile, config: TrainConfig
) -> dict[str, Any]:
    """Of at most `evaluate_pairs` pairs, the same ones each time. Epsilon is fitted on these very pairs, so that
    `accuracy_best_epsilon` is a little optimistic; the others have nothing fitted. TrainingError in all processes
    where one of them can't read a pair."""
    chosen = generator(config.seed, "dev").permutation(len(dev.pairs))[: config.evaluate_pairs]
    pairs = [dev.pairs[i] for i in sorted(chosen)]
    rank, processes = accelerator.process_index, accelerator.num_processes
    # as many for each process: with sharded weights all have to run a forward together
    mine = [number % len(pairs) for number in range(rank, -(-len(pairs) // processes) * processes, processes)]
    found = torch.zeros(2, len(pairs), device=accelerator.device, dtype=torch.float64)
    loaded = read_ahead(
        ((media, dev.path, (pairs[i],)) for i in mine), load_group, config.data.workers, 2 * config.micro_batch
    )
    with torch.no_grad():
        for start in range(0, len(mine), config.micro_batch):
            numbers = mine[start : start + config.micro_batch]
            batch = _together(accelerator, loaded, len(numbers))
            rewards = packed([sequence for group in batch for sequence in group.sequences]).sum(-1).double()
            a, b, _ = comparisons(batch).to(rewards.device)
            for number, difference in zip(numbers, (rewards[a] - rewards[b]).tolist(), strict=True):
                found[0, number] += difference
                found[1, number] += 1
    differences, counts = accelerator.reduce(found, "sum").cpu().numpy()
    return summary(differences / counts, pairs, config.loss.theta)


def _together(accelerator: Accelerator, loaded: Iterator[Group], count: int) -> list[Group]:
    """The next groups of this process; an error of one is one of all, so that none waits for another."""
    problem = None
    batch: list[Group] = []
    try:
        batch = [next(loaded) for _ in range(count)]
    except TrainingError as error:
        problem = error
    failed = accelerator.reduce(torch.tensor(float(problem is not None), device=accelerator.device), "sum").item()
    if problem is not None:
        raise problem
    if failed:
        raise TrainingError("another process could not read its pairs")
    return batch


def summary(differences_N: np.ndarray, pairs: Sequence[PreferencePair], theta: float) -> dict[str, Any]:
    """Numbers by name, None where no pair tells one; `intervals`, [low, high] of 95 % over resamples of casts; `modes`,
    of each failure mode the accuracy of its decided pairs, or of its ties where it has nothing else."""
    labels_N = labels_of(pairs)
    if not np.isfinite(differences_N).all():
        return {"not_finite": float((~np.isfinite(differences_N)).sum())}
    decided = without_ties(differences_N, labels_N)
    loss = BradleyTerryWithTies(theta)(torch.from_numpy(differences_N), torch.from_numpy(labels_N)).mean().item()
    epsilon = best_epsilon(differences_N, labels_N)
    banded = accuracy(differences_N, labels_N, tie_band(theta))
    signs, known = accuracy(differences_N, labels_N, -1.0), labels_N != 0
    casts = Bootstrap([pair.cluster for pair in pairs], num_resamples=RESAMPLES)
    found = {"accuracy_without_ties": casts.mean(signs, known), "accuracy_with_ties": casts.mean(banded)}
    modes_N = np.array([str(pair.meta.get("mode") or "all") for pair in pairs])
    modes = {}
    for mode in sorted({*modes_N.tolist()}):
        inside = modes_N == mode
        modes[mode] = float(signs[inside & known].mean() if (inside & known).any() else banded[inside].mean())
    return {
        "accuracy_without_ties": float(decided.mean()) if len(decided) else None,
        "accuracy_with_ties": float(banded.mean()),
        "accuracy_best_epsilon": float(accuracy(differences_N, labels_N, epsilon).mean()),
        "loss": loss,
        "loss_of_equal_rewards": _equal(labels_N, theta),
        "spread": float(differences_N.std()),
        "intervals": {key: [one.low, one.high] for key, one in found.items() if one is not None},
        "modes": modes,
    }


def _equal(labels_N: np.ndarray, theta: float) -> float:
    """What a model that gives every video one reward pays: what there is to beat."""
    ties = float((labels_N == 0).mean())
    return (1 - ties) * log(1 + theta) - ties * log((theta - 1) / (theta + 1))
