"""The `bulk` command: scores the items of a manifest into a file, and resumes where it stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..transports.retry import RetryPolicy
from .bulk_output import BulkOutput
from .bulk_run import check_same_model, run_bulk, select_model
from .manifest import BulkItem, read_manifest
from .options import Details, Dtype, Local, Model, Target, Token, Url

# a batch run is not interactive: it waits for a service that is unavailable or busy for minutes
_PATIENT = RetryPolicy(max_attempts=40, max_delay_s=30.0, deadline_s=300.0)


def bulk(
    manifest: Annotated[
        Path,
        typer.Argument(
            help=r'JSONL: {"id"?, "references": \[paths], "video": path, "prompt"?, "fps"?}; paths from its folder.'
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL of scores; run again to continue it.")],
    concurrency: Annotated[int, typer.Option(min=1, help="Items scored at the same time.")] = 4,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed items again.")] = False,
    model: Model = None,
    url: Url = None,
    token: Token = None,
    local: Local = False,
    dtype: Dtype = None,
    details: Details = False,
) -> None:
    """Score every item of a manifest once; run it again to continue. Exit code 1 if any item has no reward."""
    target = Target(url, local, model, dtype, token)
    items = read_manifest(manifest)
    results = BulkOutput(output)
    try:
        results.check_same(items)
        if retry_failed:
            results.drop_failed()
        pending = [item for item in items if item.id not in results.records]
        if pending:
            asyncio.run(_run(pending, len(items), results, target, concurrency, details))
        _summarise(items, pending, results)
    except KeyboardInterrupt:
        count = sum(item.id in results.records for item in items)
        typer.echo(f"stopped; {output} holds {count} of {len(items)} items, run again to continue", err=True)
        raise typer.Exit(130) from None
    finally:
        results.close()


async def _run(
    pending: list[BulkItem],
    total: int,
    results: BulkOutput,
    target: Target,
    concurrency: int,
    details: bool,
) -> None:
    client = target.open()
    try:
        info = select_model(await client.models(), target.request_model)
        check_same_model(results, info)
        if not target.local:
            await client.close()
            client = target.open(_PATIENT, "bulk")
        with make_progress() as progress:
            task = progress.add_task(info.name, total=total, completed=total - len(pending), failed=0)
            failed = 0

            def on_result(record: dict[str, Any]) -> None:
                nonlocal failed
                failed += "error" in record
                progress.update(task, advance=1, failed=failed)

            await run_bulk(
                client, pending, results, info, concurrency=concurrency, details=details, on_result=on_result
            )
    finally:
        await client.close()


def make_progress() -> Progress:
    """A progress bar on stderr; its tasks have a field `failed`."""
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


def _summarise(items: list[BulkItem], pending: list[BulkItem], results: BulkOutput) -> None:
    failed_ids = [item.id for item in items if "error" in results.records[item.id]]
    now_failed = sum(item.id in failed_ids for item in pending)
    num_warned = sum(bool(results.records[item.id].get("warnings")) for item in items)
    parts = [f"{len(pending) - now_failed} scored", f"{now_failed} failed", f"{len(items) - len(pending)} done before"]
    held = [f"{len(items)} items", f"{len(failed_ids)} failed"]
    if num_warned:
        held.append(f"{num_warned} with warnings")
    typer.echo(f"{', '.join(parts)}; {results.path} holds {', '.join(held)}", err=True)
    if failed_ids:
        first = results.records[failed_ids[0]]
        typer.echo(f"error: first failed item {first['id']}: {first['error']['message']}; see --retry-failed", err=True)
        raise typer.Exit(1)
