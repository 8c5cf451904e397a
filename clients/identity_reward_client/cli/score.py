"""score, compare, rank and models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from ..messages import ModelList
from . import tables
from .options import Details, Dtype, Fps, Json, Local, Model, Prompt, Reference, Theta, Token, Url, Where, ask

Videos = Annotated[list[Path], typer.Argument(help="Video files, made from the same references and prompt.")]


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
):
    """Score one video, or several as a group. Exit code 1 if any of them has no reward."""
    where = Where(url, local, model, dtype, token)
    options: dict[str, Any] = {"fps": fps, "prompt": prompt, "model": where.asked_model, "details": details}
    if len(videos) == 1:
        answer = ask(where, lambda client: client.score(reference, videos[0], **options))
        _show(answer, json, lambda: tables.score(videos[0], answer))
        return
    group = ask(where, lambda client: client.score_group(reference, videos, **options))
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
):
    """Compare two videos: P(A wins), P(tie), P(B wins) and the verdict."""
    where = Where(url, local, model, dtype, token)
    options: dict[str, Any] = {
        "fps": fps,
        "prompt": prompt,
        "model": where.asked_model,
        "theta": theta,
        "details": details,
    }
    answer = ask(where, lambda client: client.compare(reference, video_a, video_b, **options))
    _show(answer, json, lambda: tables.compare(video_a, video_b, answer))


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
):
    """Rank videos, with each one's chances against the best. Exit code 1 if any of them has no reward."""
    where = Where(url, local, model, dtype, token)
    options: dict[str, Any] = {
        "fps": fps,
        "prompt": prompt,
        "model": where.asked_model,
        "theta": theta,
        "details": details,
        "matrices": True,
    }
    group = ask(where, lambda client: client.score_group(reference, videos, **options))
    _show(group, json, lambda: tables.rank(videos, group))
    _exit_if_failed(group.items)


def models(
    model: Annotated[
        str | None, typer.Option(help="With --local: the model to look at, by name, folder or .onnx file.")
    ] = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    json: Json = False,
):
    """List the models that a service (or this process, with --local) can answer with."""
    if model is not None and not local:
        raise typer.BadParameter("--model goes with --local here; a service lists all of its models")
    infos = ask(Where(url, local, model, dtype, token), lambda client: client.models())
    _show(ModelList(models=infos), json, lambda: tables.models(infos))


def _show(answer: BaseModel, json: bool, table):
    if json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        table()


def _exit_if_failed(items):
    failed = sum(item.error is not None for item in items)
    if failed:
        typer.echo(f"error: {failed} of {len(items)} videos have no reward", err=True)
        raise typer.Exit(1)
