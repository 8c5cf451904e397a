"""`identity-reward data`: look at preference data, and make it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Preference data: check it, or render people to learn from.")

SHOWN = 20


@app.callback()
def _verbs() -> None:
    pass


@app.command()
def check(
    pairs: Annotated[list[Path], typer.Argument(help="JSONL files of one data set, such as DATA/*.jsonl.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode.")] = 2,
) -> None:
    """Look for missing and unreadable files, wrong labels, ids that come twice and people who are in two splits.

    Exit status 1 when there are problems, 2 when a file holds no pairs at all.
    """
    from rich.console import Console
    from rich.table import Table

    from .check import check_media, check_records, media_of, read_files
    from .progress import progress
    from .records import RecordError

    try:
        files, problems = read_files(pairs)
    except RecordError as error:
        typer.echo(f"identity-reward data check: {error}", err=True)
        raise typer.Exit(2) from None
    problems += check_records(files)
    with progress("files", len(media_of(files))) as told:
        problems += check_media(files, workers, told)
    table = Table("file", "splits", "pairs", "A", "B", "tie", "no majority", "people", box=None)
    for file in files:
        counts = [str(file.labels[label]) for label in ("A", "B", "tie", "none")]
        table.add_row(file.path.name, ", ".join(file.splits), str(len(file.pairs)), *counts, str(len(file.people)))
    Console().print(table)
    if not problems:
        typer.echo("no problems")
        return
    kinds: dict[str, int] = {}
    for problem in problems:
        kinds[problem.kind] = kinds.get(problem.kind, 0) + 1
    for problem in problems[:SHOWN]:
        typer.echo(f"{problem.kind}: {problem.what}", err=True)
    if len(problems) > SHOWN:
        typer.echo(f"... and {len(problems) - SHOWN} more", err=True)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    typer.echo(f"{len(problems)} problems: {counted}", err=True)
    raise typer.Exit(1)
