"""Accuracies of scorers on preference pairs, with intervals, per failure mode, and against each other.

Three readings of one set of rewards: without ties (decided pairs, by sign), with ties by the model's own tie band
(Bradley-Terry-with-Ties: where a tie is the most likely outcome), and with ties by an epsilon fitted on other pairs
(tie calibration, arXiv 2305.14324). Differences are multiplied by the model's preference_scale throughout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from identity_reward_client.preference import THETA, tie_band
from reward_model.data.records import PreferencePair
from reward_model.scorer import ScorerInfo

from ..data.pair_files import labels_of
from ..errors import TrainingError
from .predictions import Prediction, differences_of
from .statistics import Bootstrap, Interval, accuracy, best_epsilon, calibration_error, negative_log_likelihood

READINGS = ("accuracy_without_ties", "accuracy_with_ties", "accuracy_fitted_ties")


@dataclass(frozen=True)
class ModelReport:
    # the model's name, with the start of its fingerprint where another one has that name too
    label: str
    name: str
    version: str
    fingerprint: str
    num_pairs: int
    # pairs whose two videos have a reward; all numbers are of these
    num_scored: int
    # why the others have none: the error's code -> pairs
    unscored: dict[str, int]
    # of scaled differences; None without development pairs
    epsilon: float | None
    # by the names of READINGS; None where there is no such pair
    overall: dict[str, Interval | None]
    # failure mode -> the same
    modes: dict[str, dict[str, Interval | None]]
    # negative log-likelihood of the labels, and the expected calibration error of the three probabilities; None where
    # nothing was scored
    nll: float | None
    calibration_error: float | None


@dataclass(frozen=True)
class Comparison:
    """What the first model's accuracy is above the second's on pairs that both scored."""

    first: str
    second: str
    num_pairs: int
    # as `overall` and `modes` of a report
    differences: dict[str, Interval | None]
    modes: dict[str, dict[str, Interval | None]]

    @property
    def apart(self) -> dict[str, tuple[str, ...]]:
        """Modes in which the first is "ahead" and "behind", by intervals that exclude zero."""
        read = {mode: of_mode(readings) for mode, readings in self.modes.items()}
        return {
            "ahead": tuple(mode for mode, one in read.items() if one is not None and one.low > 0),
            "behind": tuple(mode for mode, one in read.items() if one is not None and one.high < 0),
        }


def of_mode(readings: Mapping[str, Any]) -> Any:
    """What a mode is judged by, an Interval or what JSON holds of one: its decided pairs, or its ties where it has
    nothing else."""
    return readings.get("accuracy_without_ties") or readings.get("accuracy_with_ties")


class Evaluation:
    """All models are judged on the same resamples of clusters of pairs."""

    def __init__(self, pairs: Sequence[PreferencePair], seed: int = 0, num_resamples: int = 4000, theta: float = THETA):
        if not pairs:
            raise TrainingError("there are no pairs with a label to evaluate on")
        self.pairs, self.theta = pairs, theta
        self.labels_N = labels_of(pairs)
        self.modes_N = np.array([str(pair.meta.get("mode") or "all") for pair in pairs])
        self.bootstrap = Bootstrap([pair.cluster for pair in pairs], seed, num_resamples)
        self.reports: list[ModelReport] = []
        self._right: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []

    def add(
        self,
        info: ScorerInfo,
        predictions: Sequence[Prediction],
        dev: tuple[Sequence[PreferencePair], Sequence[Prediction]] | None = None,
    ) -> ModelReport:
        """`dev`: other pairs, with this model's predictions, on which the epsilon of ties is fitted."""
        d_N = differences_of(predictions) * info.preference_scale
        scored_N = np.isfinite(d_N)
        epsilon = None
        if dev is not None:
            dev_d = differences_of(dev[1]) * info.preference_scale
            there = np.isfinite(dev_d)
            epsilon = best_epsilon(dev_d[there], labels_of(dev[0])[there]) if there.any() else None
        known = np.where(scored_N, d_N, 0.0)
        right = {
            "accuracy_without_ties": accuracy(known, self.labels_N, -1.0),
            "accuracy_with_ties": accuracy(known, self.labels_N, tie_band(self.theta)),
        }
        if epsilon is not None:
            right["accuracy_fitted_ties"] = accuracy(known, self.labels_N, epsilon)
        self._right.append((scored_N, right))
        d, labels = d_N[scored_N], self.labels_N[scored_N]
        used = any(report.label == info.name for report in self.reports)
        report = ModelReport(
            label=f"{info.name} {info.fingerprint[:8]}" if used else info.name,
            name=info.name,
            version=info.version,
            fingerprint=info.fingerprint,
            num_pairs=len(self.pairs),
            num_scored=int(scored_N.sum()),
            unscored=dict(Counter(one.code for one in predictions if one.difference is None)),
            epsilon=epsilon,
            overall=self._read(right, scored_N),
            modes={mode: self._read(right, scored_N & (self.modes_N == mode)) for mode in sorted({*self.modes_N})},
            nll=float(negative_log_likelihood(d, labels, self.theta).mean()) if len(d) else None,
            calibration_error=calibration_error(d, labels, self.theta) if len(d) else None,
        )
        self.reports.append(report)
        return report

    def comparisons(self) -> list[Comparison]:
        """Every two models, in the order in which they were added."""
        return [self._compare(first, second) for first, second in combinations(range(len(self.reports)), 2)]

    def _compare(self, first: int, second: int) -> Comparison:
        (scored_1, right_1), (scored_2, right_2) = self._right[first], self._right[second]
        both = scored_1 & scored_2
        gains = {key: right_1[key].astype(float) - right_2[key] for key in right_1.keys() & right_2.keys()}
        names = self.reports[first].label, self.reports[second].label
        modes = {mode: self._read(gains, both & (self.modes_N == mode)) for mode in sorted({*self.modes_N})}
        return Comparison(*names, int(both.sum()), self._read(gains, both), modes)

    def _read(self, values: dict[str, np.ndarray], mask_N: np.ndarray) -> dict[str, Interval | None]:
        decided = self.labels_N != 0
        masks: dict[str, Callable[[], np.ndarray]] = {"accuracy_without_ties": lambda: mask_N & decided}
        return {
            key: self.bootstrap.mean(values[key], masks.get(key, lambda: mask_N)()) for key in READINGS if key in values
        }

    def to_json(self) -> dict[str, Any]:
        ties = int((self.labels_N == 0).sum())
        return {
            "num_pairs": len(self.pairs),
            "num_ties": ties,
            "num_clusters": self.bootstrap.num_clusters,
            "theta": self.theta,
            "models": [asdict(report) for report in self.reports],
            "comparisons": [asdict(comparison) for comparison in self.comparisons()],
        }
