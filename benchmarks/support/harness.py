"""The frame of every benchmark: correctness gate, alternating measurement, table, JSON file.

    {"benchmark": "NAME", "machine": {"cpu": "...", "gpu": null, "torch": "...", "triton": "..."}, "commit": "...",
     "rows": [{"name": "...", "unit": "ms", "ours": 1.0, "peer": 3.6, "peer_name": "...", "ratio": 3.6, "goal": 3.3,
               "spread": [3.4, 3.8]}]}

A larger `ratio` is better; `spread` is its range over the rounds. A row that was not measured has `"ratio": null` and
states the reason in `why`. Missed goals are printed, never asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One line of the table: our value, the peer's, and their ratio."""

    name: str
    unit: str
    peer_name: str
    ours: float | None = None
    peer: float | None = None
    ratio: float | None = None
    goal: float | None = None
    spread: tuple[float, float] | None = None
    # why there is no ratio, or what limits its meaning
    why: str | None = None
    # additional values; the name ends in the unit
    more: dict[str, Any] = field(default_factory=dict)


def in_turn(
    ours: Callable[[], Any], peer: Callable[[], Any], rounds: int = 5, clock: Callable[[], float] = perf_counter
) -> tuple[list[float], list[float]]:
    """Time two functions alternately.

    Both are called once before the first round, so that no time contains a warm-up.

    Returns:
        The seconds of `ours` and those of `peer`, one value per round.
    """
    ours(), peer()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, times in zip((ours, peer), seconds, strict=True):
            begin = clock()
            call()
            times.append(clock() - begin)
    return seconds


def row(
    name: str, unit: str, peer_name: str, ours: list[float], peer: list[float], scale: float = 1.0, **more: Any
) -> Row:
    """Build a row from the times that `in_turn` returns.

    Args:
        name: name of the row.
        unit: unit of the printed values.
        peer_name: short description of the peer.
        ours: seconds per round; less is better.
        peer: seconds per round of the peer.
        scale: factor from seconds to `unit`.
        more: `goal` and `why` of the row; anything else becomes an additional value.
    """
    ratios = [p / o for o, p in zip(ours, peer, strict=True)]
    options = {key: more.pop(key) for key in ("goal", "why") if key in more}
    medians = median(ours), median(peer)
    spread = round(min(ratios), 3), round(max(ratios), 3)
    ratio = round(medians[1] / medians[0], 3)
    our_value, peer_value = (float(f"{seconds * scale:.4g}") for seconds in medians)
    return Row(name, unit, peer_name, our_value, peer_value, ratio, spread=spread, more=more, **options)


def machine() -> dict[str, str | None]:
    return {"cpu": _cpu(), "gpu": _gpu(), "torch": _version("torch"), "triton": _version("triton")}


def commit() -> str | None:
    """The measured commit, with a plus sign if tracked files differ from it.

    Outside a checkout: the environment variable BENCHMARK_COMMIT, or None.
    """
    try:
        git = ["git", "-C", str(ROOT)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("BENCHMARK_COMMIT")
    return head + ("+" if changed else "")


def main(
    benchmark: str, measure: Callable[[argparse.Namespace], list[Row]], parser: argparse.ArgumentParser | None = None
):
    """Run a benchmark as a command: parse the arguments, measure, print the table, write the file of `--json`.

    Args:
        benchmark: name of the benchmark in the JSON file.
        measure: returns the rows for the parsed arguments.
        parser: declares the options of this benchmark; `--json` and `--note` are added to it.
    """
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, metavar="OUT", help="file to write the results to")
    parser.add_argument("--note", default="", help="text above the table of the page, as on what else the machine did")
    arguments = parser.parse_args()
    rows = measure(arguments)
    print(table(rows), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report(benchmark, rows, arguments.note), indent=1) + "\n")


def report(benchmark: str, rows: list[Row], note: str = "") -> dict[str, Any]:
    """The content of the JSON file; `note` is printed above the table of the page."""
    values = {"benchmark": benchmark, "machine": machine(), "commit": commit(), "rows": [_plain(row) for row in rows]}
    return values | ({"note": note} if note else {})


def gate(is_correct: bool, error: str) -> None:
    """Exit with status 1 unless the result is correct: the speed of a wrong result is not reported."""
    if not is_correct:
        sys.exit(f"not measured: {error}")


def table(rows: list[Row]) -> str:
    """The rows as aligned text; a missed goal is marked."""
    head = ("", "ours", "peer", "peer is", "ratio", "spread", "goal")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    if row.ratio is None:
        return (
            row.name,
            "",
            "",
            row.peer_name,
            "-",
            f"not measured: {row.why}",
            "" if row.goal is None else f"{row.goal:g}",
        )
    missed = row.goal is not None and row.ratio < row.goal
    goal = "" if row.goal is None else f"{row.goal:g}" + (" missed" if missed else "")
    spread = "" if row.spread is None else f"{row.spread[0]:.2f} to {row.spread[1]:.2f}"
    return (
        row.name,
        f"{row.ours:g} {row.unit}",
        f"{row.peer:g} {row.unit}",
        row.peer_name,
        f"{row.ratio:.2f}",
        spread,
        goal,
    )


def _plain(row: Row) -> dict[str, Any]:
    keys = ("name", "unit", "ours", "peer", "peer_name", "ratio", "goal", "spread")
    plain = {key: getattr(row, key) for key in keys}
    return plain | ({"why": row.why} if row.why else {}) | row.more


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _gpu() -> str | None:
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
