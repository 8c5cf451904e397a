"""Writes docs/explanation/benchmarks.md from docs/benchmarks/*.json: `python -m benchmarks.report`.

A test fails if the page is old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .support.harness import ROOT

FOLDER, PAGE = ROOT / "docs/benchmarks", ROOT / "docs/explanation/benchmarks.md"
HEAD = """# Benchmarks

For people who ask how fast it is: what was measured, against which peer, on which machine.

Generated from `docs/benchmarks/*.json` by `python -m benchmarks.report`. Each table is one process run of
`python -m benchmarks.NAME --json docs/benchmarks/NAME.json`: a correctness gate first, then ours and the peer in turn.
Times are medians; the ratio is the peer's over ours, so more is better, and its spread is over the rounds. `make bench`
runs them all.
"""
COLUMNS = ("", "ours", "peer", "peer is", "ratio", "spread", "goal")


def page(folder: Path = FOLDER) -> str:
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return "\n".join([HEAD, *map(section, reports)])


def section(report: dict[str, Any]) -> str:
    rows = report["rows"]
    measured = [row for row in rows if row["ratio"] is not None]
    missing = [row for row in rows if row["ratio"] is None]
    lines = [f"## {report['benchmark']}", "", where(report), ""]
    if report.get("note"):
        lines += [report["note"], ""]
    if measured:
        lines += [_line(COLUMNS), _line(("---",) * len(COLUMNS)), *(_line(cells(row)) for row in measured), ""]
    missed = [row for row in measured if row.get("goal") and row["ratio"] < row["goal"]]
    if missed:
        said = "; ".join(f"{row['name']} ({row['ratio']:.2f}, not {row['goal']:g})" for row in missed)
        lines += [f"Goals missed: {said}.", ""]
    if missing:
        for why in dict.fromkeys(row["why"] for row in missing):
            names = [row["name"] for row in missing if row["why"] == why]
            lines += [f"**Not measured** ({why}): {', '.join(f'`{name}`' for name in names)}.", ""]
    return "\n".join(lines)


def where(report: dict[str, Any]) -> str:
    """The machine and the commit in a sentence; a plus sign after a commit says that the tree had changes."""
    about = report["machine"]
    parts = [about["cpu"], about["gpu"] or "no GPU"]
    parts += [f"{name} {about[name]}" for name in ("torch", "triton") if about.get(name)]
    commit = report["commit"]
    of = f"commit {commit[:10]}" + (" with changes" if commit.endswith("+") else "") if commit else "commit unknown"
    return f"{', '.join(parts)}; {of}."


def cells(row: dict[str, Any]) -> tuple[str, ...]:
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
