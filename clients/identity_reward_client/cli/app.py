"""The `identity-reward` command. Verbs of other packages come by entry point, see plugins.py."""

from __future__ import annotations

from typing import Annotated

import typer

from .bulk import bulk
from .jobs import job
from .plugins import CommandGroup
from .score import compare, models, rank, score

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How well do videos keep the identities of the people in reference pictures?",
)
for verb in (score, compare, rank, bulk, models):
    app.command()(verb)
app.add_typer(job, name="job")


def _print_version(wanted: bool):
    if wanted:
        from importlib.metadata import version

        typer.echo(f"identity-reward-client {version('identity-reward-client')}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
):
    pass


def main():
    app(prog_name="identity-reward")
