"""bulk: a manifest of items, scored into a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..transports.retry import RetryPolicy
from .bulk_output import BulkOutput
from .bulk_run import check_same_model, chosen_model, run_bulk
from .manifest import BulkItem, read_manifest
from .options import Details, Dtype, Local, Model, Token, Url, Where

# nobody waits: a service that restarts or is busy for minutes costs no items
_PATIENT = RetryPolicy(max_attempts=40, max_delay_s=30.0, deadline_s=300.0)


def bulk(
    manifest: Annotated[
        Path,
        typer.Argument(
            help=r'JSONL: {"id"?, "references": \[paths], "video": path, "prompt"?, "fps"?}; paths from its folder.'
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL of scores; a run goes on where it stopped.")],
    concurrency: Annotated[int, typer.Option(min=1, help="Items under way at once.")] = 4,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try items again that failed before.")] = False,
    model: Model = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    details: Details = False,
):
    """Score every item of a manifest once; run it again to go on. Exit code 1 if any item has no reward."""
    where = Where(url, local, model, dtype, token)
    items = read_manifest(manifest)
    results = BulkOutput(output)
    try:
        results.check_same(items)
        if retry_failed:
            results.drop_failed()
        todo = [item for item in items if item.id not in results.records]
        if todo:
            asyncio.run(_run(todo, len(items), results, where, concurrency, details))
        _summarise(items, todo, results)
    except KeyboardInterrupt:
        done = sum(item.id in results.records for item in items)
        typer.echo(f"stopped; {output} holds {done} of {len(items)} items, run again to go on", err=True)
        raise typer.Exit(130) from None
    finally:
        results.close()


async def _run(
    todo: list[BulkItem],
    total: int,
    results: BulkOutput,
    where: Where,
    concurrency: int,
    details: bool,
):
    client = where.open()
    try:
        info = chosen_model(await client.models(), where.asked_model)
        check_same_model(results, info)
        if not where.local:
            await client.close()
            client = where.open(_PATIENT, "bulk")
        with make_progress() as progress:
            task = progress.add_task(info.name, total=total, completed=total - len(todo), failed=0)
            failed = 0

            def on_done(record):
                nonlocal failed
                failed += "error" in record
                progress.update(task, advance=1, failed=failed)

            await run_bulk(client, todo, results, info, concurrency=concurrency, details=details, on_done=on_done)
    finally:
        await client.close()


def make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _summarise(items: list[BulkItem], todo: list[BulkItem], results: BulkOutput):
    failed_ids = [item.id for item in items if "error" in results.records[item.id]]
    now_failed = sum(item.id in failed_ids for item in todo)
    parts = [f"{len(todo) - now_failed} scored", f"{now_failed} failed", f"{len(items) - len(todo)} done before"]
    typer.echo(f"{', '.join(parts)}; {results.path} holds {len(items)} items, {len(failed_ids)} failed", err=True)
    if failed_ids:
        first = results.records[failed_ids[0]]
        typer.echo(f"error: first failed item {first['id']}: {first['error']['message']}; see --retry-failed", err=True)
        raise typer.Exit(1)
