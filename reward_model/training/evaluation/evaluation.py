"""Accuracies of scorers on preference pairs, with intervals, per corruption, and against each other.

One set of rewards has three accuracies: without ties (decided pairs, by sign), with ties by the tie band of
Bradley-Terry-with-Ties (where a tie is the most likely outcome), and with ties by an epsilon fitted on other pairs (tie
calibration, arXiv 2305.14324, section 4). Differences are multiplied by the model's `preference_scale` throughout.

Legend: N pairs; d = r_A - r_B.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from identity_reward_client.preference import THETA, tie_band
from reward_model.data.records import PreferencePair
from reward_model.scorer import ScorerInfo

from ..data.pairs import signs_of
from ..errors import TrainingError
from .pair_groups import pair_groups
from .predictions import Prediction, differences_of
from .statistics import Bootstrap, Interval, accuracy, best_epsilon, calibration_error, negative_log_likelihood

# kinds of accuracy
ACCURACIES = ("accuracy_without_ties", "accuracy_with_ties", "accuracy_fitted_ties")


@dataclass(frozen=True)
class ModelReport:
    """Results of one model; all accuracies are of pairs whose two videos have a reward."""

    # the model's name, with the start of its fingerprint where another one has that name too
    label: str
    name: str
    version: str
    fingerprint: str
    num_pairs: int
    # pairs whose two videos have a reward
    num_scored: int
    # error code -> number of pairs without a reward
    unscored: dict[str, int]
    # fitted half-width of a tie in scaled differences; None without development pairs
    epsilon: float | None
    # kind of accuracy -> interval; None where there is no such pair
    overall: dict[str, Interval | None]
    # the same for the pairs of each corruption, and of the groups of `pair_groups`
    modes: dict[str, dict[str, Interval | None]]
    # mean negative log-likelihood of the labels, and expected calibration error of the three probabilities; None where
    # nothing was scored
    nll: float | None
    calibration_error: float | None


@dataclass(frozen=True)
class Comparison:
    """Differences of accuracy, first model minus second, on pairs that both scored."""

    first: str
    second: str
    num_pairs: int
    # as `overall` and `modes` of a ModelReport
    differences: dict[str, Interval | None]
    modes: dict[str, dict[str, Interval | None]]

    @property
    def apart(self) -> dict[str, tuple[str, ...]]:
        """Corruptions on which the first is "ahead" and "behind": their interval excludes zero."""
        intervals = {name: accuracy_on_corruption(accuracies) for name, accuracies in self.modes.items()}
        return {
            "ahead": tuple(name for name, interval in intervals.items() if interval is not None and interval.low > 0),
            "behind": tuple(name for name, interval in intervals.items() if interval is not None and interval.high < 0),
        }


def accuracy_on_corruption(accuracies: Mapping[str, Any]) -> Any:
    """The accuracy that is reported for a corruption, as an Interval or as its JSON: of its decided pairs, or of its
    ties where it has no others."""
    return accuracies.get("accuracy_without_ties") or accuracies.get("accuracy_with_ties")


class Evaluation:
    """Reports of several models on the same pairs, and on the same resamples of their clusters."""

    def __init__(self, pairs: Sequence[PreferencePair], seed: int = 0, num_resamples: int = 4000, theta: float = THETA):
        if not pairs:
            raise TrainingError("there are no pairs with a label to evaluate on")
        self.pairs, self.theta = pairs, theta
        self.labels_N = signs_of(pairs)
        self.groups = pair_groups(pairs)
        self.bootstrap = Bootstrap([pair.cluster for pair in pairs], seed, num_resamples)
        self.reports: list[ModelReport] = []
        self._right: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []

    def add(
        self,
        info: ScorerInfo,
        predictions: Sequence[Prediction],
        dev: tuple[Sequence[PreferencePair], Sequence[Prediction]] | None = None,
    ) -> ModelReport:
        """Adds a model by its predictions in the order of the pairs.

        `dev` are other pairs with this model's predictions, on which the epsilon of ties is fitted.
        """
        d_N = differences_of(predictions) * info.preference_scale
        scored_N = np.isfinite(d_N)
        epsilon = None
        if dev is not None:
            dev_d = differences_of(dev[1]) * info.preference_scale
            finite = np.isfinite(dev_d)
            epsilon = best_epsilon(dev_d[finite], signs_of(dev[0])[finite]) if finite.any() else None
        masked_N = np.where(scored_N, d_N, 0.0)
        right = {
            "accuracy_without_ties": accuracy(masked_N, self.labels_N, -1.0),
            "accuracy_with_ties": accuracy(masked_N, self.labels_N, tie_band(self.theta)),
        }
        if epsilon is not None:
            right["accuracy_fitted_ties"] = accuracy(masked_N, self.labels_N, epsilon)
        self._right.append((scored_N, right))
        d, labels = d_N[scored_N], self.labels_N[scored_N]
        name_taken = any(report.label == info.name for report in self.reports)
        report = ModelReport(
            label=f"{info.name} {info.fingerprint[:8]}" if name_taken else info.name,
            name=info.name,
            version=info.version,
            fingerprint=info.fingerprint,
            num_pairs=len(self.pairs),
            num_scored=int(scored_N.sum()),
            unscored=dict(Counter(prediction.code for prediction in predictions if prediction.difference is None)),
            epsilon=epsilon,
            overall=self._intervals(right, scored_N),
            modes=self._by_group(right, scored_N),
            nll=float(negative_log_likelihood(d, labels, self.theta).mean()) if len(d) else None,
            calibration_error=calibration_error(d, labels, self.theta) if len(d) else None,
        )
        self.reports.append(report)
        return report

    def comparisons(self) -> list[Comparison]:
        """Every pair of models, in the order in which they were added."""
        return [self._compare(first, second) for first, second in combinations(range(len(self.reports)), 2)]

    def _compare(self, first: int, second: int) -> Comparison:
        (scored_1, right_1), (scored_2, right_2) = self._right[first], self._right[second]
        both = scored_1 & scored_2
        gains = {key: right_1[key].astype(float) - right_2[key] for key in right_1.keys() & right_2.keys()}
        names = self.reports[first].label, self.reports[second].label
        return Comparison(*names, int(both.sum()), self._intervals(gains, both), self._by_group(gains, both))

    def _by_group(self, values: dict[str, np.ndarray], mask_N: np.ndarray) -> dict[str, dict[str, Interval | None]]:
        return {name: self._intervals(values, mask_N & group_N) for name, group_N in self.groups.items()}

    def _intervals(self, values: dict[str, np.ndarray], mask_N: np.ndarray) -> dict[str, Interval | None]:
        masks = {"accuracy_without_ties": mask_N & (self.labels_N != 0)}
        return {key: self.bootstrap.mean(values[key], masks.get(key, mask_N)) for key in ACCURACIES if key in values}

    def to_json(self) -> dict[str, Any]:
        """Counts, every report and every comparison, as JSON values."""
        ties = int((self.labels_N == 0).sum())
        return {
            "num_pairs": len(self.pairs),
            "num_ties": ties,
            "num_clusters": self.bootstrap.num_clusters,
            "theta": self.theta,
            "models": [asdict(report) for report in self.reports],
            "comparisons": [asdict(comparison) for comparison in self.comparisons()],
        }
