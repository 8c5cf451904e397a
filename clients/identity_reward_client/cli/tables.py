"""Answers as tables for people, on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..messages import CompareResponse, GroupResponse, ModelInfo, ModelStamp, Scored, ScoreResponse


def score(video: Path, answer: ScoreResponse):
    table = _table("video", "reward", "frames")
    table.add_row(Text(str(video)), f"{answer.reward:.4f}", _frames(answer))
    _print(table, answer.model, [(video, answer)])


def group(videos: Sequence[Path], answer: GroupResponse):
    table = _table("video", "reward", "frames")
    for video, item in zip(videos, answer.items, strict=True):
        if item.scored is not None:
            table.add_row(Text(str(video)), f"{item.scored.reward:.4f}", _frames(item.scored))
        elif item.error is not None:
            table.add_row(Text(str(video)), Text(item.error.code, style="red"), Text(item.error.message))
    _print(table, answer.model, _scored(videos, answer))


def compare(video_a: Path, video_b: Path, answer: CompareResponse):
    table = _table("", "video", "reward", "wins", "frames")
    for name, video, scored, chance in (
        ("A", video_a, answer.a, answer.p_a_wins),
        ("B", video_b, answer.b, answer.p_b_wins),
    ):
        table.add_row(name, Text(str(video)), f"{scored.reward:.4f}", f"{chance:.1%}", _frames(scored))
    table.add_row("", "tie", "", f"{answer.p_tie:.1%}", "")
    _print(table, answer.model, [(video_a, answer.a), (video_b, answer.b)])
    verdict = "tie" if answer.verdict == "tie" else f"{answer.verdict} is better"
    print(f"verdict: {verdict} (theta {answer.theta:g})")


def rank(videos: Sequence[Path], answer: GroupResponse):
    """Best first; videos without a reward last."""
    table = _table("#", "video", "reward", "beats the best", "ties", "loses")
    order = sorted(((item.reward, item.index) for item in answer.items if item.reward is not None), reverse=True)
    for place, (reward, index) in enumerate(order, 1):
        best = order[0][1]
        chances = ["", "", ""]
        if index != best and answer.win is not None and answer.tie is not None:
            found = (answer.win[index][best], answer.tie[index][best], answer.win[best][index])
            chances = ["" if chance is None else f"{chance:.1%}" for chance in found]
        table.add_row(str(place), Text(str(videos[index])), f"{reward:.4f}", *chances)
    for item in answer.items:
        if item.error is not None:
            table.add_row("", Text(str(videos[item.index])), Text(item.error.code, style="red"))
    _print(table, answer.model, _scored(videos, answer))
    for item in answer.items:
        if item.error is not None:  # under the table: a column would leave a few letters a line
            Console().print(Text(f"{videos[item.index]}: {item.error.message}", style="red"), soft_wrap=True)


def models(infos: Sequence[ModelInfo]):
    table = _table("model", "version", "knows", "frames", "size", "device")
    for info in infos:
        name = Text(info.name + (" (default)" if info.default else ""))
        knows = Text(info.domain) if info.meaningful else Text("nothing: random weights", style="yellow")
        size = f"{info.num_parameters / 1e6:.3g} M"
        table.add_row(name, info.version, knows, info.frame_sampling.name, size, f"{info.device}, {info.dtype}")
    Console().print(table)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in ("reward", "#") else "left")
    return table


def _frames(scored: Scored) -> str:
    return f"{len(scored.frame_indices)} of {scored.num_source_frames}, {scored.fps:g} fps"


def _scored(videos: Sequence[Path], answer: GroupResponse) -> list[tuple[Path, Scored]]:
    return [(video, item.scored) for video, item in zip(videos, answer.items, strict=True) if item.scored]


def _print(table: Table, model: ModelStamp, scored: Sequence[tuple[Path, Scored]]):
    console = Console()
    console.print(table)
    for video, one in scored:
        if one.details:
            console.print(Text(f"{video}: {json.dumps(one.details)}"), soft_wrap=True)
    stamp = f"model: {model.name} {model.version} ({model.domain}), {model.frame_sampling}, {model.fingerprint[:12]}"
    console.print(Text(stamp), soft_wrap=True)
