"""How differences of rewards agree with labels: accuracies, the width of a tie, intervals, calibration. Pure numpy.

Legend: N pairs, R resamples, C clusters. d = r_A - r_B; label +1 (A), 0 (tie), -1 (B).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity_reward_client.preference import THETA, probabilities
from reward_model.data.seeding import generator


def accuracy(d_N: np.ndarray, label_N: np.ndarray, epsilon: float) -> np.ndarray:
    """bool [N]: right where the sign of d is the label, or a tie and |d| <= epsilon. Below 0: no tie is ever said."""
    said = np.where(np.abs(d_N) <= epsilon, 0, np.sign(d_N))
    # equal rewards say nothing where no tie may be said
    return (said == label_N) & ~((said == 0) & (epsilon < 0))


def without_ties(d_N: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """bool, of the decided pairs alone: right where the better video has the higher reward; equal rewards are wrong."""
    decided = label_N != 0
    return np.sign(d_N[decided]) == label_N[decided]


def best_epsilon(d_N: np.ndarray, label_N: np.ndarray) -> float:
    """The width of a tie at which `accuracy` is highest, as in tie calibration (arXiv 2305.14324, section 4): every
    split of the sorted |d| is tried, "never a tie" (-1) too; of equally good ones the smallest is taken."""
    size_N = np.abs(d_N)
    order = np.argsort(size_N, kind="stable")
    size_N, label_N, d_N = size_N[order], label_N[order], d_N[order]
    tie_N, sign_N = label_N == 0, (np.sign(d_N) == label_N) & (label_N != 0)
    # with the first k said to be ties: those of them that are, and the right signs of the others
    right = np.concatenate([[0], np.cumsum(tie_N)]) + np.concatenate([np.cumsum(sign_N[::-1])[::-1], [0]])
    # a split between equal values can't be made
    possible = np.concatenate([[True], size_N[1:] > size_N[:-1], [True]])
    best = int(np.argmax(np.where(possible, right, -1)))
    if best == 0:
        return -1.0
    upper = size_N[best] if best < len(size_N) else size_N[-1]
    return float((size_N[best - 1] + upper) / 2)


@dataclass(frozen=True)
class Interval:
    """A mean and the 2.5 % and 97.5 % quantiles of it over resamples of whole clusters."""

    mean: float
    low: float
    high: float
    count: int


class Bootstrap:
    """Resamples clusters with replacement, the same ones for whatever is asked of one object: what is compared, is
    compared on the same resamples."""

    def __init__(self, clusters_N: list[str], seed: int = 0, num_resamples: int = 4000):
        names, self.index_N = np.unique(np.array(clusters_N, dtype=str), return_inverse=True)
        self.num_clusters = len(names)
        draw = generator(seed, "bootstrap")
        even = np.full(self.num_clusters, 1 / self.num_clusters)
        self.counts_RC = draw.multinomial(self.num_clusters, even, size=num_resamples).astype(np.float64)

    def mean(self, values_N: np.ndarray, mask_N: np.ndarray | None = None) -> Interval | None:
        """Of those values that `mask_N` says; None where it says none."""
        values_N = np.asarray(values_N, np.float64)
        mask_N = np.ones(len(values_N), bool) if mask_N is None else mask_N
        if not mask_N.any():
            return None
        kept = values_N[mask_N]
        sums_C = np.bincount(self.index_N[mask_N], kept, self.num_clusters)
        sizes_C = np.bincount(self.index_N[mask_N], minlength=self.num_clusters).astype(np.float64)
        sizes_R = self.counts_RC @ sizes_C
        means_R = (self.counts_RC @ sums_C)[sizes_R > 0] / sizes_R[sizes_R > 0]
        low, high = np.quantile(means_R, [0.025, 0.975])
        return Interval(float(kept.mean()), float(low), float(high), len(kept))


def negative_log_likelihood(d_N: np.ndarray, label_N: np.ndarray, theta: float = THETA) -> np.ndarray:
    """[N], of the labels under Bradley-Terry-with-Ties."""
    return -np.log(_by_label(d_N, label_N, theta)[1])


def calibration_error(d_N: np.ndarray, label_N: np.ndarray, theta: float = THETA, bins: int = 10) -> float:
    """Expected calibration error of all three probabilities: each is one forecast, in bins of equal width, the gap
    between their mean and how often they came true weighted by how many there are."""
    forecasts_3N, _ = _by_label(d_N, label_N, theta)
    came_true_3N = np.stack([label_N == 1, label_N == 0, label_N == -1])
    bin_3N = np.minimum((forecasts_3N * bins).astype(int), bins - 1)
    gap = 0.0
    for number in range(bins):
        inside = bin_3N == number
        if inside.any():
            gap += inside.mean() * abs(forecasts_3N[inside].mean() - came_true_3N[inside].mean())
    return float(gap)


def _by_label(d_N: np.ndarray, label_N: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """([3, N] probabilities of A, tie, B; [N] that of the label)."""
    forecasts_3N = np.stack(probabilities(d_N, theta))
    tiny = np.finfo(np.float64).tiny
    return forecasts_3N, np.maximum(forecasts_3N[1 - label_N.astype(int), np.arange(len(label_N))], tiny)
