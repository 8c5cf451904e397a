"""Measurement on development pairs while a training runs; every process computes a share of them."""

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

from ..configs.preferences import PreferenceTrainingConfig
from ..data.media import MediaSource
from ..data.pairs import PairFile, signs_of
from ..data.prefetch import prefetch
from ..errors import TrainingError
from ..evaluation.statistics import Bootstrap, accuracy, best_epsilon, without_ties
from .groups import Group, comparisons, load_group
from .losses import BradleyTerryWithTies

# bootstrap resamples of casts in each measurement
RESAMPLES = 1000


def measure_dev(
    accelerator: Accelerator, packed: Any, media: MediaSource, dev: PairFile, config: PreferenceTrainingConfig
) -> dict[str, Any]:
    """`summary` of at most `evaluate_pairs` pairs, the same ones in every measurement.

    Epsilon is fitted on these very pairs, so that `accuracy_best_epsilon` is slightly optimistic; nothing else is
    fitted. Raises TrainingError in all processes where one of them cannot read a pair.
    """
    chosen = generator(config.seed, "dev").permutation(len(dev.pairs))[: config.evaluate_pairs]
    pairs = [dev.pairs[i] for i in sorted(chosen)]
    rank, processes = accelerator.process_index, accelerator.num_processes
    # equally many for each process: with sharded weights all have to run a forward pass together
    assigned = [number % len(pairs) for number in range(rank, -(-len(pairs) // processes) * processes, processes)]
    # sums of differences, and how often each pair was computed
    sums_2N = torch.zeros(2, len(pairs), device=accelerator.device, dtype=torch.float64)
    loaded = prefetch(
        ((media, dev.path, (pairs[i],)) for i in assigned), load_group, config.data.workers, 2 * config.micro_batch
    )
    with torch.no_grad():
        for start in range(0, len(assigned), config.micro_batch):
            numbers = assigned[start : start + config.micro_batch]
            batch = _next_groups(accelerator, loaded, len(numbers))
            rewards = packed([sequence for group in batch for sequence in group.sequences]).sum(-1).double()
            a, b, _ = comparisons(batch).to(rewards.device)
            for number, difference in zip(numbers, (rewards[a] - rewards[b]).tolist(), strict=True):
                sums_2N[0, number] += difference
                sums_2N[1, number] += 1
    differences, counts = accelerator.reduce(sums_2N, "sum").cpu().numpy()
    return summary(differences / counts, pairs, config.loss.theta)


def _next_groups(accelerator: Accelerator, loaded: Iterator[Group], count: int) -> list[Group]:
    """The next groups of this process. An error of one process is raised in all, so that none waits for another."""
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
    """Accuracies, losses and intervals of reward differences, float [N], by name; None where no pair tells one.

    `intervals` are [low, high] of 95 % over resamples of casts. `modes` are the accuracies by corruption: of its
    decided pairs, or of its ties where it has no others. Only `not_finite`, a count, where a difference is not finite.
    """
    labels_N = signs_of(pairs)
    if not np.isfinite(differences_N).all():
        return {"not_finite": float((~np.isfinite(differences_N)).sum())}
    decided = without_ties(differences_N, labels_N)
    loss = BradleyTerryWithTies(theta)(torch.from_numpy(differences_N), torch.from_numpy(labels_N)).mean().item()
    epsilon = best_epsilon(differences_N, labels_N)
    with_ties_N = accuracy(differences_N, labels_N, tie_band(theta))
    by_sign_N, decided_N = accuracy(differences_N, labels_N, -1.0), labels_N != 0
    casts = Bootstrap([pair.cluster for pair in pairs], num_resamples=RESAMPLES)
    intervals = {
        "accuracy_without_ties": casts.mean(by_sign_N, decided_N),
        "accuracy_with_ties": casts.mean(with_ties_N),
    }
    corruptions_N = np.array([str(pair.meta.get("mode") or "all") for pair in pairs])
    by_corruption = {}
    for name in sorted({*corruptions_N.tolist()}):
        inside_N = corruptions_N == name
        correct = by_sign_N[inside_N & decided_N] if (inside_N & decided_N).any() else with_ties_N[inside_N]
        by_corruption[name] = float(correct.mean())
    return {
        "accuracy_without_ties": float(decided.mean()) if len(decided) else None,
        "accuracy_with_ties": float(with_ties_N.mean()),
        "accuracy_best_epsilon": float(accuracy(differences_N, labels_N, epsilon).mean()),
        "loss": loss,
        "loss_of_equal_rewards": _loss_of_equal_rewards(labels_N, theta),
        "spread": float(differences_N.std()),
        "intervals": {key: [interval.low, interval.high] for key, interval in intervals.items() if interval},
        "modes": by_corruption,
    }


def _loss_of_equal_rewards(labels_N: np.ndarray, theta: float) -> float:
    """Bradley-Terry-with-Ties loss of a model that gives every video the same reward, a baseline."""
    ties = float((labels_N == 0).mean())
    return (1 - ties) * log(1 + theta) - ties * log((theta - 1) / (theta + 1))
