"""The commands `score`, `compare`, `rank` and `models`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from ..base import CompareOptions, GroupOptions, ScoreOptions
from ..messages import Item, ModelList
from . import tables
from .options import (
    Details,
    Dtype,
    Fps,
    Json,
    Local,
    Model,
    Prompt,
    Reference,
    Target,
    Theta,
    Token,
    Url,
    call_client,
)

Videos = Annotated[list[Path], typer.Argument(help="Video files, generated from the same references and prompt.")]


def score(
    videos: Videos,
    reference: Reference,
    prompt: Prompt = None,
    model: Model = None,
    fps: Fps = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    json: Json = False,
    details: Details = False,
) -> None:
    """Score one video, or several as a group. Exit code 1 if any of them has no reward."""
    target = Target(url, local, model, dtype, token)
    options: ScoreOptions = {"fps": fps, "prompt": prompt, "model": target.request_model, "details": details}
    if len(videos) == 1:
        response = call_client(target, lambda client: client.score(reference, videos[0], **options))
        _show(response, json, lambda: tables.score(videos[0], response))
        return
    group = call_client(target, lambda client: client.score_group(reference, videos, **options))
    _show(group, json, lambda: tables.group(videos, group))
    _exit_if_failed(group.items)


def compare(
    video_a: Annotated[Path, typer.Argument(help="Video A.")],
    video_b: Annotated[Path, typer.Argument(help="Video B.")],
    reference: Reference,
    prompt: Prompt = None,
    model: Model = None,
    fps: Fps = None,
    theta: Theta = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    json: Json = False,
    details: Details = False,
) -> None:
    """Compare two videos: P(A wins), P(tie), P(B wins) and the verdict."""
    target = Target(url, local, model, dtype, token)
    options: CompareOptions = {
        "fps": fps,
        "prompt": prompt,
        "model": target.request_model,
        "theta": theta,
        "details": details,
    }
    response = call_client(target, lambda client: client.compare(reference, video_a, video_b, **options))
    _show(response, json, lambda: tables.compare(video_a, video_b, response))


def rank(
    videos: Videos,
    reference: Reference,
    prompt: Prompt = None,
    model: Model = None,
    fps: Fps = None,
    theta: Theta = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    json: Json = False,
    details: Details = False,
) -> None:
    """Rank videos, each with its probabilities against the best. Exit code 1 if any of them has no reward."""
    target = Target(url, local, model, dtype, token)
    options: GroupOptions = {
        "fps": fps,
        "prompt": prompt,
        "model": target.request_model,
        "theta": theta,
        "details": details,
        "matrices": True,
    }
    group = call_client(target, lambda client: client.score_group(reference, videos, **options))
    _show(group, json, lambda: tables.rank(videos, group))
    _exit_if_failed(group.items)


def models(
    model: Annotated[
        str | None, typer.Option(help="With --local: the model to show, by name, folder or .onnx file.")
    ] = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    json: Json = False,
) -> None:
    """List the models that a service (or this process, with --local) has loaded."""
    if model is not None and not local:
        raise typer.BadParameter("--model goes with --local here; a service lists all of its models")
    infos = call_client(Target(url, local, model, dtype, token), lambda client: client.models())
    _show(ModelList(models=infos), json, lambda: tables.models(infos))


def _show(response: BaseModel, json: bool, print_table: Callable[[], None]) -> None:
    if json:
        typer.echo(response.model_dump_json(indent=2))
    else:
        print_table()


def _exit_if_failed(items: Sequence[Item]) -> None:
    failed = sum(item.error is not None for item in items)
    if failed:
        typer.echo(f"error: {failed} of {len(items)} videos have no reward", err=True)
        raise typer.Exit(1)
