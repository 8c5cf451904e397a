"""An evaluation as tables for the terminal, and as a plot of accuracies by corruption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from .evaluation import ACCURACIES, Comparison, Evaluation, ModelReport, accuracy_on_corruption
from .statistics import Interval

_TITLES = {
    "accuracy_without_ties": "without ties",
    "accuracy_with_ties": "with ties, own band",
    "accuracy_fitted_ties": "with ties, fitted",
}


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Accuracies of all models, accuracies by corruption, and comparisons where there are several models."""
    reports = evaluation.reports
    kinds = [key for key in ACCURACIES if any(key in report.overall for report in reports)]
    overall = Table(title=f"{len(evaluation.pairs)} pairs of {evaluation.bootstrap.num_clusters} clusters")
    for column in ("model", "scored", *(_TITLES[key] for key in kinds), "NLL", "calibration error"):
        overall.add_column(column)
    for report in reports:
        cells = (_cell(report.overall.get(key)) for key in kinds)
        overall.add_row(
            f"{report.label} {report.version}", _scored(report), *cells,
            *("-" if value is None else f"{value:.3f}" for value in (report.nll, report.calibration_error)),
        )  # fmt: skip
    yield overall
    by_corruption = Table(title="accuracy per corruption: decided pairs without ties, ties by the model's own band")
    by_corruption.add_column("corruption")
    by_corruption.add_column("pairs")
    for report in reports:
        by_corruption.add_column(report.label)
    for name in _corruptions(reports):
        intervals = [accuracy_on_corruption(report.modes.get(name, {})) for report in reports]
        counts = (interval.count for interval in intervals if interval)
        by_corruption.add_row(name, str(max(counts, default=0)), *map(_cell, intervals))
    yield by_corruption
    if comparisons := evaluation.comparisons():
        yield _comparison_table(comparisons, kinds)


def plot_accuracies(evaluation: Evaluation, path: Path) -> None:
    """Writes a PNG: a point with its interval for every model and corruption, and for all pairs."""
    import numpy as np
    from matplotlib.figure import Figure

    reports, names = evaluation.reports, _corruptions(evaluation.reports)
    rows = ["overall", *names]
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(rows) * max(1, len(reports) ** 0.5)), layout="constrained")
    axis = figure.subplots()
    for number, report in enumerate(reports):
        intervals = [
            report.overall["accuracy_without_ties"],
            *(accuracy_on_corruption(report.modes.get(name, {})) for name in names),
        ]
        present = [(row, interval) for row, interval in enumerate(intervals) if interval is not None]
        y = np.array([row for row, _ in present]) + 0.6 * ((number + 0.5) / len(reports) - 0.5)
        x = np.array([interval.mean for _, interval in present])
        spans = np.array([[i.mean - i.low, i.high - i.mean] for _, i in present]).T.reshape(2, -1)
        axis.errorbar(x, y, xerr=np.maximum(spans, 0), fmt="o", markersize=4, capsize=2, label=report.label)
    axis.set_yticks(range(len(rows)), rows)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1.02), xlabel="accuracy, 95 % interval over clusters")
    axis.axvline(0.5, color="0.7", linewidth=0.8)
    axis.grid(axis="x", alpha=0.25)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=130)


def _comparison_table(comparisons: Sequence[Comparison], kinds: Sequence[str]) -> Table:
    table = Table(title="accuracy of the first above the second's, on pairs that both scored")
    for column in ("first", "second", "pairs", *(_TITLES[key] for key in kinds), "ahead in", "behind in"):
        table.add_column(column)
    for comparison in comparisons:
        cells = (_cell(comparison.differences.get(key), "+.3f") for key in kinds)
        apart = (", ".join(names) or "-" for names in comparison.apart.values())
        table.add_row(comparison.first, comparison.second, str(comparison.num_pairs), *cells, *apart)
    return table


def _corruptions(reports: Sequence[ModelReport]) -> list[str]:
    return sorted({name for report in reports for name in report.modes})


def _cell(interval: Interval | None, form: str = ".3f") -> str:
    if interval is None:
        return "-"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _scored(report: ModelReport) -> str:
    reasons = ", ".join(f"{count} {code}" for code, count in sorted(report.unscored.items()))
    return f"{report.num_scored} of {report.num_pairs}" + (f" ({reasons})" if reasons else "")
