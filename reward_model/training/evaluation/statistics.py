"""Agreement of reward differences with labels: accuracies, fitted ties, clustered intervals, calibration.

Legend: N pairs, R resamples, C clusters. d = r_A - r_B, float; label +1 (A), 0 (tie), -1 (B), any integer dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client.preference import THETA, probabilities
from reward_model.data.seeding import generator


def accuracy(d_N: np.ndarray, label_N: np.ndarray, epsilon: float) -> np.ndarray:
    """bool [N]: whether the verdict is the label. The verdict is a tie where |d| <= epsilon, else the sign of d.

    With a negative epsilon no verdict is a tie, and equal rewards are wrong.
    """
    verdict_N = np.where(np.abs(d_N) <= epsilon, 0, np.sign(d_N))
    return (verdict_N == label_N) & ~((verdict_N == 0) & (epsilon < 0))


def without_ties(d_N: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """bool [number of decided pairs]: whether the better video has the higher reward; equal rewards are wrong."""
    decided = label_N != 0
    return np.sign(d_N[decided]) == label_N[decided]


def best_epsilon(d_N: np.ndarray, label_N: np.ndarray) -> float:
    """The half-width of a tie with the highest `accuracy`: tie calibration, arXiv 2305.14324, section 4.

    Every split of the sorted |d| is tried, and -1, "never a tie". Of equally good ones the smallest is returned.
    """
    size_N = np.abs(d_N)
    order = np.argsort(size_N, kind="stable")
    size_N, label_N, d_N = size_N[order], label_N[order], d_N[order]
    tie_N, sign_N = label_N == 0, (np.sign(d_N) == label_N) & (label_N != 0)
    # entry k: the first k verdicts are ties; correct ties among them, and correct signs of the others
    correct = np.concatenate([[0], np.cumsum(tie_N)]) + np.concatenate([np.cumsum(sign_N[::-1])[::-1], [0]])
    # equal values cannot be split
    possible = np.concatenate([[True], size_N[1:] > size_N[:-1], [True]])
    best = int(np.argmax(np.where(possible, correct, -1)))
    if best == 0:
        return -1.0
    upper = size_N[best] if best < len(size_N) else size_N[-1]
    return float((size_N[best - 1] + upper) / 2)


@dataclass(frozen=True)
class Interval:
    """A mean of `count` values, and its 2.5 % and 97.5 % quantiles over resamples of whole clusters."""

    mean: float
    low: float
    high: float
    count: int


class Bootstrap:
    """Percentile bootstrap over clusters (Efron and Tibshirani 1993, chapters 8 and 13).

    Clusters are resampled with replacement, as pairs of one cluster are not independent. All means of one object use
    the same resamples, so that differences of models are paired. `counts_RC` is float64 [R, C], how often each cluster
    is in each resample.
    """

    def __init__(self, clusters_N: Sequence[str], seed: int = 0, num_resamples: int = 4000):
        names, self.index_N = np.unique(np.array(clusters_N, dtype=str), return_inverse=True)
        self.num_clusters = len(names)
        rng = generator(seed, "bootstrap")
        even = np.full(self.num_clusters, 1 / self.num_clusters)
        self.counts_RC = rng.multinomial(self.num_clusters, even, size=num_resamples).astype(np.float64)

    def mean(self, values_N: np.ndarray, mask_N: np.ndarray | None = None) -> Interval | None:
        """Mean of the values where the bool `mask_N` is set, with its interval; None where it is set nowhere."""
        values_N = np.asarray(values_N, np.float64)
        mask_N = np.ones(len(values_N), bool) if mask_N is None else mask_N
        if not mask_N.any():
            return None
        masked = values_N[mask_N]
        sums_C = np.bincount(self.index_N[mask_N], masked, self.num_clusters)
        sizes_C = np.bincount(self.index_N[mask_N], minlength=self.num_clusters).astype(np.float64)
        sizes_R = self.counts_RC @ sizes_C
        means_R = (self.counts_RC @ sums_C)[sizes_R > 0] / sizes_R[sizes_R > 0]
        low, high = np.quantile(means_R, [0.025, 0.975])
        return Interval(float(masked.mean()), float(low), float(high), len(masked))


def negative_log_likelihood(d_N: np.ndarray, label_N: np.ndarray, theta: float = THETA) -> np.ndarray:
    """float64 [N]: -log P(label) under Bradley-Terry-with-Ties (arXiv 2510.14256, equation 4)."""
    return -np.log(_forecasts(d_N, label_N, theta)[1])


def calibration_error(d_N: np.ndarray, label_N: np.ndarray, theta: float = THETA, bins: int = 10) -> float:
    """Expected calibration error in [0, 1] of all three probabilities (Naeini et al. 2015).

    Each probability is one forecast. In bins of equal width, the gap between mean forecast and observed frequency is
    weighted by the share of forecasts in the bin.
    """
    forecasts_3N, _ = _forecasts(d_N, label_N, theta)
    observed_3N = np.stack([label_N == 1, label_N == 0, label_N == -1])
    bin_3N = np.minimum((forecasts_3N * bins).astype(int), bins - 1)
    gap = 0.0
    for number in range(bins):
        inside = bin_3N == number
        if inside.any():
            gap += inside.mean() * abs(forecasts_3N[inside].mean() - observed_3N[inside].mean())
    return float(gap)


def _forecasts(d_N: np.ndarray, label_N: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """([3, N] probabilities of A, tie, B; [N] probability of the label, above 0)."""
    forecasts_3N = np.stack(probabilities(d_N, theta))
    tiny = np.finfo(np.float64).tiny
    return forecasts_3N, np.maximum(forecasts_3N[1 - label_N.astype(int), np.arange(len(label_N))], tiny)
