"""Accuracy tables of the model cards, from the committed JSON files of `docs/evaluations`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reward_model.training.evaluation.evaluation import accuracy_on_corruption

from .markdown import table

EVALUATIONS = Path(__file__).parent.parent / "evaluations"
ACCURACIES = {
    "accuracy_without_ties": "all, without ties",
    "accuracy_with_ties": "all, with ties, by its own band",
    "accuracy_fitted_ties": "all, with ties, by a fitted band",
}


def card(evaluation: str) -> str:
    """Accuracies of an `evaluate-reward --json` or cross-validation report: its first model beside the others."""
    report = json.loads((EVALUATIONS / f"{evaluation}.json").read_text())
    models = report["models"]
    comparisons = [comparison for comparison in report["comparisons"] if comparison["first"] == models[0]["label"]]
    rows = [_row(title, [model["overall"].get(key) for model in models]) for key, title in ACCURACIES.items()]
    for corruption, accuracies in models[0]["modes"].items():
        title = corruption if accuracies["accuracy_without_ties"] else f"{corruption} (ties)"
        rows.append(_row(title, [accuracy_on_corruption(model["modes"][corruption]) for model in models]))
    for key, title in ACCURACIES.items():
        gains = [None, *(comparison["differences"].get(key) for comparison in comparisons)]
        rows.append(_row(f"ahead by, {title.removeprefix('all, ')}", gains))
    for title, key in (("negative log-likelihood", "nll"), ("calibration error", "calibration_error")):
        rows.append((title, str(models[0]["num_scored"]), *(f"{model[key]:.3f}" for model in models)))
    return table(("pairs", "number", *(f"`{model['label']}`" for model in models)), rows)


def _row(title: str, intervals: list[dict[str, Any] | None]) -> tuple[str, ...]:
    count = max((interval["count"] for interval in intervals if interval), default=0)
    cells = (
        f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]" if interval else "-"
        for interval in intervals
    )
    return title, str(count), *cells
