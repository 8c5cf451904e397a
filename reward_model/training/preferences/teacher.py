"""The teacher's filter of automatic labels: Identity-GRPO (arXiv 2510.14256) section 3.2.2.

A teacher is a reward model that was trained on clean pairs alone. Pairs whose automatic label it agrees with stay, in
the paper about 48 %.

Legend: N pairs; d = r_A - r_B of the teacher, scaled to Bradley-Terry-with-Ties; NaN where a video was not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from identity_reward_client.preference import THETA, Preference, tie_band
from reward_model.data.records import PreferencePair

from ..data.pairs import signs_of
from ..errors import TrainingError
from ..evaluation.predictions import Prediction, differences_of

# sign: a decided label stays where the sign of d agrees, a tie where d lies in the tie band;
# verdict: a label stays where it is the most likely outcome by the teacher
Rule = Literal["sign", "verdict"]


@dataclass(frozen=True)
class FilterReport:
    """Counts of a filter run, and the precision of labels where the records hold exact ones."""

    num_pairs: int
    num_kept: int
    # pairs with a video that could not be scored; none of them stays
    num_unscored: int
    kept_share: float
    # label -> (number of pairs, number of those that stay)
    by_label: dict[str, tuple[int, int]]
    # share of labels that equal the exact one (`meta["truth"]`) among all pairs and among those that stay, and share of
    # correct labels that stay; None where no pair has an exact label
    precision_before: float | None
    precision_after: float | None
    recall: float | None


def agreements(
    pairs: Sequence[PreferencePair], d_N: np.ndarray, rule: Rule = "sign", theta: float = THETA
) -> np.ndarray:
    """bool [N]: whether the teacher's difference `d_N`, float [N], agrees with the label; False for NaN."""
    labels_N = signs_of(pairs)
    tied_N = np.abs(d_N) <= tie_band(theta)
    signs_agree_N = np.sign(d_N) == labels_N
    decided_N = signs_agree_N & ~tied_N if rule == "verdict" else signs_agree_N
    return np.where(labels_N == 0, tied_N, decided_N) & np.isfinite(d_N)


def filter_pairs(
    pairs: Sequence[PreferencePair],
    predictions: Sequence[Prediction],
    scale: float = 1.0,
    rule: Rule = "sign",
    theta: float = THETA,
) -> tuple[list[PreferencePair], FilterReport]:
    """The labelled pairs that stay, in their order, and the counts.

    `scale` is the teacher's `preference_scale`. Raises TrainingError where no pair stays.
    """
    d_N = differences_of(predictions) * scale
    kept_N = agreements(pairs, d_N, rule, theta)
    if not kept_N.any():
        raise TrainingError(f"the teacher agrees with none of {len(pairs)} labels; is it trained, and on such pairs?")
    exact = [pair.meta.get("truth") for pair in pairs]
    has_exact_N = np.array([label is not None for label in exact])
    right_N = np.array([label is not None and label == pair.label for label, pair in zip(exact, pairs, strict=True)])
    labels = np.array([str(pair.label) for pair in pairs])
    report = FilterReport(
        num_pairs=len(pairs),
        num_kept=int(kept_N.sum()),
        num_unscored=int((~np.isfinite(d_N)).sum()),
        kept_share=float(kept_N.mean()),
        by_label={
            str(label): (int((labels == label).sum()), int((kept_N & (labels == label)).sum())) for label in Preference
        },
        precision_before=_share(right_N, has_exact_N),
        precision_after=_share(right_N, has_exact_N & kept_N),
        recall=_share(kept_N, has_exact_N & right_N),
    )
    return [pair for pair, kept in zip(pairs, kept_N, strict=True) if kept], report


def report_json(report: FilterReport, **more: Any) -> dict[str, Any]:
    """The report as JSON values, with further entries."""
    return {**asdict(report), **more}


def _share(of_N: np.ndarray, among_N: np.ndarray) -> float | None:
    return float(of_N[among_N].mean()) if among_N.any() else None
