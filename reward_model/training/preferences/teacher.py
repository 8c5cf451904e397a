"""The teacher's filter: of pairs that machines labelled, those stay whose label a model trained on clean pairs shares.

Identity-GRPO (arXiv 2510.14256) section 3.2.2; there about 48 % stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from identity_reward_client.preference import THETA, Preference, tie_band
from reward_model.data.records import PreferencePair

from ..data.pair_files import labels_of
from ..errors import TrainingError
from ..evaluation.predictions import Prediction, differences_of

# sign: a decided label stays when the teacher's difference has its sign, a tie when it lies in the tie band;
# verdict: a label stays when it is the outcome that the teacher holds most likely
Rule = Literal["sign", "verdict"]


@dataclass(frozen=True)
class FilterReport:
    num_pairs: int
    num_kept: int
    # of pairs whose videos couldn't be scored; none of them stays
    num_unscored: int
    kept_share: float
    # by label: how many there were, how many stay
    by_label: dict[str, tuple[int, int]]
    # share of labels that are the exact ones (`meta["truth"]`), among all pairs and among those that stay, and the
    # share of right labels that stay; None where no pair has one
    precision_before: float | None
    precision_after: float | None
    recall: float | None


def agreements(
    pairs: Sequence[PreferencePair], d_N: np.ndarray, rule: Rule = "sign", theta: float = THETA
) -> np.ndarray:
    """bool [N]: the teacher's scaled difference agrees with the label; NaN (not scored) agrees with none."""
    labels_N = labels_of(pairs)
    band = tie_band(theta)
    tied_N = np.abs(d_N) <= band
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
    """Pairs that stay, in their order. Those without a label are left out before. TrainingError where none stays."""
    d_N = differences_of(predictions) * scale
    kept_N = agreements(pairs, d_N, rule, theta)
    if not kept_N.any():
        raise TrainingError(f"the teacher agrees with none of {len(pairs)} labels; is it trained, and on such pairs?")
    truths = [pair.meta.get("truth") for pair in pairs]
    known_N = np.array([truth is not None for truth in truths])
    right_N = np.array([truth is not None and truth == pair.label for truth, pair in zip(truths, pairs, strict=True)])
    labels = np.array([str(pair.label) for pair in pairs])
    report = FilterReport(
        num_pairs=len(pairs),
        num_kept=int(kept_N.sum()),
        num_unscored=int((~np.isfinite(d_N)).sum()),
        kept_share=float(kept_N.mean()),
        by_label={str(one): (int((labels == one).sum()), int((kept_N & (labels == one)).sum())) for one in Preference},
        precision_before=_share(right_N, known_N),
        precision_after=_share(right_N, known_N & kept_N),
        recall=_share(kept_N, known_N & right_N),
    )
    return [pair for pair, kept in zip(pairs, kept_N, strict=True) if kept], report


def report_json(report: FilterReport, **more: Any) -> dict[str, Any]:
    return {**asdict(report), **more}


def _share(of_N: np.ndarray, among_N: np.ndarray) -> float | None:
    return float(of_N[among_N].mean()) if among_N.any() else None
