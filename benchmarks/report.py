"""Write docs/explanation/benchmarks.md from docs/benchmarks/*.json: `python -m benchmarks.report`.

A test fails if the committed page differs from the generated one.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from .support.harness import ROOT

FOLDER, PAGE = ROOT / "docs/benchmarks", ROOT / "docs/explanation/benchmarks.md"
HEAD = """# Benchmarks

For readers who compare speed: what was measured, against which peer, and on which machine.

`python -m benchmarks.report` generates this page from `docs/benchmarks/*.json`. Each table is one run of
`python -m benchmarks.NAME --json docs/benchmarks/NAME.json`, where NAME is the heading
(`benchmarks.runner.NAME` for group_sharing, mixed_batch and vision_tower). A run checks that the results
are correct and stops if they are not. It times our implementation and the peer alternately.

Times are medians over the rounds. A larger ratio is better: for times it is the peer's time divided by ours. The spread
is the range of the ratio over the rounds, unless the text above a table says otherwise. `make bench` runs the short CPU
benchmarks. The docstring of the module `benchmarks.NAME` describes the measurement, the peer and the check.
"""
COLUMNS = ("", "ours", "peer", "peer is", "ratio", "spread", "goal")


def page(folder: Path = FOLDER) -> str:
    """The Markdown page of all reports in `folder`."""
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return "\n".join([HEAD, *map(section, reports)])


def section(report: dict[str, Any]) -> str:
    """One benchmark: machine, note, table of measured rows, missed goals, rows that were not measured."""
    rows = report["rows"]
    measured = [row for row in rows if row["ratio"] is not None]
    missing = [row for row in rows if row["ratio"] is None]
    lines = [f"## {report['benchmark']}", "", machine_and_commit(report), ""]
    if report.get("note"):
        lines += [_paragraph(report["note"]), ""]
    if measured:
        lines += [_line(COLUMNS), _line(("---",) * len(COLUMNS)), *(_line(cells(row)) for row in measured), ""]
    missed = [row for row in measured if row.get("goal") and row["ratio"] < row["goal"]]
    if missed:
        goals = "; ".join(f"{row['name']} ({row['ratio']:.2f}, not {row['goal']:g})" for row in missed)
        lines += [_paragraph(f"Goals missed: {goals}."), ""]
    if missing:
        for why in dict.fromkeys(row["why"] for row in missing):
            names = [row["name"] for row in missing if row["why"] == why]
            listed = ", ".join(f"`{name}`" for name in names)
            lines += [_paragraph(f"**Not measured** ({why}): {listed}."), ""]
    return "\n".join(lines)


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def machine_and_commit(report: dict[str, Any]) -> str:
    """A sentence with the machine and the measured commit; "with changes" if tracked files differed from it."""
    machine = report["machine"]
    parts = [machine["cpu"], machine["gpu"] or "no GPU"]
    parts += [f"{name} {machine[name]}" for name in ("torch", "triton") if machine.get(name)]
    commit = report["commit"]
    changes = " with changes" if (commit or "").endswith("+") else ""
    version = f"commit {commit[:10]}{changes}" if commit else "commit unknown"
    return f"{', '.join(parts)}; {version}."


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one measured row."""
    spread, goal = row.get("spread"), row.get("goal")
    note = f" ({row['why']})" if row.get("why") else ""
    return (
        row["name"] + note,
        f"{row['ours']:g} {row['unit']}".strip(),
        f"{row['peer']:g} {row['unit']}".strip(),
        row["peer_name"],
        f"{row['ratio']:.2f}",
        f"{spread[0]:.2f} to {spread[1]:.2f}" if spread else "",
        "" if goal is None else f"{goal:g}" + (", missed" if row["ratio"] < goal else ""),
    )


def _line(parts: tuple[str, ...]) -> str:
    return "| " + " | ".join(parts) + " |"


if __name__ == "__main__":
    PAGE.write_text(page())
