"""Responses as tables on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..messages import CompareResponse, GroupResponse, ModelInfo, ModelStamp, Scored, ScoreResponse

# head and content of the column that marks rewards with warnings
MARKER = "!"


def score(video: Path, response: ScoreResponse) -> None:
    """Print one reward."""
    table = _table("video", "reward", MARKER, "frames")
    table.add_row(Text(str(video)), f"{response.reward:.4f}", _marker(response), _frames(response))
    _print(table, response.model, [(video, response)])


def group(videos: Sequence[Path], response: GroupResponse) -> None:
    """Print the reward or error of each video."""
    table = _table("video", "reward", MARKER, "frames")
    for video, item in zip(videos, response.items, strict=True):
        if item.scored is not None:
            table.add_row(Text(str(video)), f"{item.scored.reward:.4f}", _marker(item.scored), _frames(item.scored))
        elif item.error is not None:
            table.add_row(Text(str(video)), Text(item.error.code, style="red"), "", Text(item.error.message))
    _print(table, response.model, _scored(videos, response))


def compare(video_a: Path, video_b: Path, response: CompareResponse) -> None:
    """Print both rewards, the probabilities and the verdict."""
    table = _table("", "video", "reward", MARKER, "wins", "frames")
    for name, video, scored, probability in (
        ("A", video_a, response.a, response.p_a_wins),
        ("B", video_b, response.b, response.p_b_wins),
    ):
        cells = f"{scored.reward:.4f}", _marker(scored), f"{probability:.1%}", _frames(scored)
        table.add_row(name, Text(str(video)), *cells)
    table.add_row("", "tie", "", "", f"{response.p_tie:.1%}", "")
    _print(table, response.model, [(video_a, response.a), (video_b, response.b)])
    verdict = "tie" if response.verdict == "tie" else f"{response.verdict} is better"
    print(f"verdict: {verdict} (theta {response.theta:g})")


def rank(videos: Sequence[Path], response: GroupResponse) -> None:
    """Print the videos, the best first and those without a reward last."""
    table = _table("#", "video", "reward", MARKER, "beats the best", "ties", "loses")
    scored = {item.index: item.scored for item in response.items if item.scored is not None}
    order = sorted(((video.reward, index) for index, video in scored.items()), reverse=True)
    for position, (reward, index) in enumerate(order, 1):
        best = order[0][1]
        probabilities = ["", "", ""]
        if index != best and response.win is not None and response.tie is not None:
            values = (response.win[index][best], response.tie[index][best], response.win[best][index])
            probabilities = ["" if value is None else f"{value:.1%}" for value in values]
        name, marker = Text(str(videos[index])), _marker(scored[index])
        table.add_row(str(position), name, f"{reward:.4f}", marker, *probabilities)
    for item in response.items:
        if item.error is not None:
            table.add_row("", Text(str(videos[item.index])), Text(item.error.code, style="red"))
    _print(table, response.model, _scored(videos, response))
    for item in response.items:
        if item.error is not None:  # under the table: a column would be a few characters wide
            Console().print(Text(f"{videos[item.index]}: {item.error.message}", style="red"), soft_wrap=True)


def models(infos: Sequence[ModelInfo]) -> None:
    """Print the models of a server."""
    table = _table("model", "version", "domain", "frames", "size", "device")
    for info in infos:
        name = Text(info.name + (" (default)" if info.default else ""))
        domain = Text(info.domain) if info.meaningful else Text("none: random weights", style="yellow")
        size = f"{info.num_parameters / 1e6:.3g} M"
        table.add_row(name, info.version, domain, info.frame_sampling.name, size, f"{info.device}, {info.dtype}")
    Console().print(table)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in ("reward", "#") else "left")
    return table


def _frames(scored: Scored) -> str:
    return f"{len(scored.frame_indices)} of {scored.num_source_frames}, {scored.fps:g} fps"


def _marker(scored: Scored) -> Text:
    return Text(MARKER if scored.warnings else "", style="yellow")


def _scored(videos: Sequence[Path], response: GroupResponse) -> list[tuple[Path, Scored]]:
    return [(video, item.scored) for video, item in zip(videos, response.items, strict=True) if item.scored]


def _print(table: Table, model: ModelStamp, scored: Sequence[tuple[Path, Scored]]) -> None:
    console = Console()
    if not any(result.warnings for _, result in scored):
        table.columns = [column for column in table.columns if column.header != MARKER]
    console.print(table)
    for video, result in scored:
        for warning in result.warnings:
            console.print(Text(f"{MARKER} {video}: {warning.code}: {warning.message}", style="yellow"), soft_wrap=True)
    for video, result in scored:
        if result.details:
            console.print(Text(f"{video}: {json.dumps(result.details)}"), soft_wrap=True)
    stamp = f"model: {model.name} {model.version} ({model.domain}), {model.frame_sampling}, {model.fingerprint[:12]}"
    console.print(Text(stamp), soft_wrap=True)
