"""The `job` commands: submit a manifest to the service, watch it, fetch its results."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO, TypeVar

import typer

from ..inputs.media import to_references, to_video
from ..messages import ContentId, Image
from ..transports.http import DEFAULT_URL
from ..transports.jobs import JobsClient
from ..transports.retry import RetryPolicy
from ..wire.content_ids import reference_set_id
from ..wire.job_messages import JobInfo, JobItem
from ..wire.validation import raise_invalid_request
from .bulk import make_progress
from .manifest import BulkItem, read_manifest
from .options import BRIEF, Details, Json, Model, Token, Url

T = TypeVar("T")
# a service that restarts resumes the job
_PATIENT = RetryPolicy(max_attempts=40, max_delay_s=30.0, deadline_s=300.0)

job = typer.Typer(no_args_is_help=True, help="Submit a manifest as a job of the service, and fetch its results.")
Id = Annotated[str, typer.Argument(metavar="ID", help="Id that `job submit` printed.")]
After = Annotated[int, typer.Option(min=0, help="Only results after this number.")]


@job.command()
def submit(
    manifest: Annotated[
        Path,
        typer.Argument(
            help=r'JSONL: {"id"?, "references": \[paths], "video": path, "prompt"?, "fps"?}; paths from its folder.'
        ),
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress until the job ends; exit code 1 if items fail.")
    ] = False,
    model: Model = None,
    details: Details = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Send a manifest and its files; print the job's id."""
    items = read_manifest(manifest)

    async def run(client: JobsClient) -> JobInfo:
        info = await client.submit(read_items(items, model, details))
        typer.echo(info.id)
        return await _wait(client, info) if wait else info

    info = _call(url, token, run, _PATIENT if wait else BRIEF)
    if wait and (info.failed or info.state != "done"):
        typer.echo(_line(info), err=True)
        raise typer.Exit(1)


@job.command()
def status(identity: Id, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Show the state of a job."""
    info = _call(url, token, lambda client: client.info(identity))
    typer.echo(info.model_dump_json(exclude_none=True) if as_json else _line(info))


@job.command()
def results(
    identity: Id,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    after: After = 0,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the results so far, one line of JSON each, in the order in which they were computed."""
    count = 0
    with _open_output(output) as file:

        async def fetch(client: JobsClient) -> None:
            nonlocal count
            async for result in client.results(identity, after):
                file.write(result.model_dump_json(exclude_none=True) + "\n")
                count += 1

        _call(url, token, fetch)
    if output is not None:
        typer.echo(f"{output} holds {count} results", err=True)


@job.command()
def cancel(identity: Id, url: Url = None, token: Token = None) -> None:
    """Stop scoring a job; its results are kept."""
    typer.echo(_line(_call(url, token, lambda client: client.cancel(identity))))


@job.command("list")
def list_jobs(url: Url = None, token: Token = None) -> None:
    """List the jobs that the service keeps, the newest first."""

    async def show(client: JobsClient) -> None:
        async for info in client.list():
            typer.echo(_line(info))

    _call(url, token, show)


def read_items(items: list[BulkItem], model: str | None, details: bool) -> Iterator[JobItem]:
    """Items with the bytes of their files, one at a time. Images that several items share are read once."""
    sets: dict[tuple[Path, ...], ContentId] = {}
    for item in items:
        paths = tuple(item.references)
        references: list[Image] | str = sets[paths] if paths in sets else to_references(paths)
        if not isinstance(references, str):
            sets[paths] = reference_set_id(references)
        video = to_video(item.video, item.line.fps)
        with raise_invalid_request():
            yield JobItem(
                id=item.id,
                references=references,
                video=video,
                prompt=item.line.prompt,
                model=model,
                details=details,
            )


async def _wait(client: JobsClient, info: JobInfo) -> JobInfo:
    with make_progress() as progress:
        task = progress.add_task("waiting", total=info.total, completed=info.done, failed=info.failed)

        def show(info: JobInfo) -> None:
            state = info.state if info.held_up is None else info.held_up.code
            progress.update(task, description=state, completed=info.done, failed=info.failed)

        return await client.wait(info.id, show)


def _call(
    url: str | None, token: str | None, call: Callable[[JobsClient], Awaitable[T]], retry: RetryPolicy = BRIEF
) -> T:
    if url is not None and url.startswith(("grpc://", "grpcs://")):
        raise typer.BadParameter("jobs are available over HTTP only: give the service's http(s):// URL")

    async def run() -> T:
        client = JobsClient(DEFAULT_URL if url is None else url, token=token, retry=retry)
        try:
            return await call(client)
        finally:
            await client.close()

    return asyncio.run(run())


def _line(info: JobInfo) -> str:
    parts = [f"{info.id}  {info.state}  {info.done} of {info.total} done"]
    if info.failed:
        parts.append(f"{info.failed} failed")
    if info.eta_s is not None and info.items_per_s is not None:
        parts.append(f"{info.items_per_s:.3g} a second, {info.eta_s:.0f} s to go")
    if info.held_up is not None:
        parts.append(f"held up: {info.held_up.message}")
    return ", ".join(parts)


@contextmanager
def _open_output(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that appears only when it is complete."""
    if output is None:
        yield sys.stdout
        return
    draft = output.with_name(output.name + ".new")
    try:
        with open(draft, "w", encoding="utf-8") as file:
            yield file
        os.replace(draft, output)
    finally:
        draft.unlink(missing_ok=True)
