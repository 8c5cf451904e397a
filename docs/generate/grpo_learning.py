"""Tables of what GRPO changes on the small policy, from the committed JSON of `benchmarks.grpo_learning`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from .markdown import table

RESULTS = Path(__file__).parent.parent / "benchmarks/grpo_learning.json"
MEASURES = {
    "face-tracks": "reward of `face-tracks`, trained on",
    "arcface": "reward of `arcface`, watched",
    "compact": "reward of `compact`, watched",
    "right": "share of videos with the right people, by ground truth",
    "exchanged": "share of videos with exchanged people, by ground truth",
    "distance": "distance to the true identity",
}


def before_and_after() -> str:
    """The shape of the paper's table 3, for the first row of the benchmark."""
    rows = []
    for name, title in MEASURES.items():
        measured = _rows()[0]["measured"][name]
        share = measured.get("win_share")
        rows.append(
            (
                title,
                f"{measured['before']:.3f}",
                f"{measured['after']:.3f}",
                _difference(measured),
                "" if share is None else f"{share:.0%}",
            )
        )
    return table(("", "before", "after", "difference", "winning rate"), rows)


def groups_and_noise() -> str:
    """The paper's table 4: every row of the benchmark."""
    rows = []
    for row in _rows():
        reward, right = row["measured"]["face-tracks"], row["measured"]["right"]
        rows.append(
            (
                row["name"],
                f"{row['videos']:,}",
                f"{reward['after']:.2f}",
                _difference(reward),
                " / ".join(f"{difference:+.2f}" for difference in row["seeds"]["face-tracks"]),
                f"{right['after']:.3f}",
                f"{row['paper_reward']:.3f}",
            )
        )
    head = ("", "videos", "reward after", "difference", "of each seed", "right people after", "paper, VACE-1.3B")
    return table(head, rows)


@cache
def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text())["rows"]
    return rows


def _difference(measured: dict[str, float]) -> str:
    return f"{measured['difference']:+.3f} [{measured['low']:+.3f}, {measured['high']:+.3f}]"
