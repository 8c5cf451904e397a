"""Calibration of `spread`: a factor with which it predicts how often the better of two videos has the lower reward.

The error of each reward is taken as normal with standard deviation `scale * spread`, independently for both videos of
a pair. A verdict with the reward difference d is then right with probability Phi(|d| / (scale * sqrt(s_a^2 + s_b^2))).
The scale has the largest likelihood on the decided pairs of held-out people. Differences and spreads are in tie bands.

Legend: N decided pairs; d = r_A - r_B; s = spread of a video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm

# scales that are tried: 1/8 to 32, in steps of 2 %
_SCALES = 2.0 ** np.arange(-3.0, 5.0, np.log2(1.02))
# a verdict is never surer than this, so that one wrong label does not decide the scale
_LARGEST = 0.995


@dataclass(frozen=True)
class Bin:
    """Pairs with similar values of what they are sorted by: its mean, the share of right verdicts, and their number."""

    mean: float
    right: float
    count: int


@dataclass(frozen=True)
class SpreadCalibration:
    """Result of `calibrate`. `nll` and `nll_unscaled`: mean negative log-likelihood of the verdicts being right or
    wrong, with the scale and without."""

    scale: float
    nll: float
    nll_unscaled: float
    # by the predicted probability that the verdict is right
    by_probability: tuple[Bin, ...]
    # by the scaled spread of a pair, sqrt(s_a^2 + s_b^2)
    by_spread: tuple[Bin, ...]


def calibrate(d_N: np.ndarray, spreads_N2: np.ndarray, label_N: np.ndarray, bins: int = 5) -> SpreadCalibration | None:
    """Fits the scale on decided pairs (label +1 or -1), whose spreads are above 0. None without such pairs."""
    usable_N = (label_N != 0) & np.isfinite(d_N) & (spreads_N2 > 0).all(1)
    d, right = d_N[usable_N], (np.sign(d_N) == label_N)[usable_N]
    pair_spread = np.sqrt((spreads_N2[usable_N] ** 2).sum(1))
    if not len(d):
        return None
    losses = [_nll(_probability(d, pair_spread, scale), right) for scale in _SCALES]
    scale = float(_SCALES[int(np.argmin(losses))])
    probability = _probability(d, pair_spread, scale)
    return SpreadCalibration(
        scale=scale,
        nll=_nll(probability, right),
        nll_unscaled=_nll(_probability(d, pair_spread, 1.0), right),
        by_probability=tuple(_bins(probability, right, bins)),
        by_spread=tuple(_bins(scale * pair_spread, right, bins)),
    )


def plot_calibration(calibration: SpreadCalibration, path: Path) -> None:
    """Writes a PNG: predicted against observed shares of right verdicts, and right verdicts by spread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    reliability, by_spread = figure.subplots(1, 2, sharey=True)
    reliability.plot([0.5, 1], [0.5, 1], color="0.7", linewidth=0.8, label="calibrated")
    for axis, found in ((reliability, calibration.by_probability), (by_spread, calibration.by_spread)):
        x, y = [part.mean for part in found], [part.right for part in found]
        errors = [1.96 * np.sqrt(part.right * (1 - part.right) / part.count) for part in found]
        axis.errorbar(x, y, yerr=errors, fmt="o-", capsize=3, markersize=4, label="decided pairs")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, loc="lower right" if axis is reliability else "lower left")
    reliability.set(xlabel="predicted share of right verdicts", ylabel="share of right verdicts", ylim=(0.45, 1.02))
    by_spread.set(xlabel="spread of the pair, in tie bands")
    figure.savefig(path, dpi=130)


def _probability(d_N: np.ndarray, pair_spread_N: np.ndarray, scale: float) -> np.ndarray:
    return np.minimum(norm.cdf(np.abs(d_N) / (scale * pair_spread_N)), _LARGEST)


def _nll(probability_N: np.ndarray, right_N: np.ndarray) -> float:
    return float(-np.log(np.where(right_N, probability_N, 1 - probability_N)).mean())


def _bins(values_N: np.ndarray, right_N: np.ndarray, bins: int) -> Iterator[Bin]:
    """Bins of equal size, in increasing order of the values."""
    for part in np.array_split(np.argsort(values_N, kind="stable"), bins):
        if len(part):
            yield Bin(float(values_N[part].mean()), float(right_N[part].mean()), len(part))
