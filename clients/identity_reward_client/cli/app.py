"""The `identity-reward` command. Other packages add commands by entry point, see plugins.py."""

from __future__ import annotations

from importlib.metadata import version as package_version
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
    help="How well do videos keep the identities of the people in reference images?",
)
for command in (score, compare, rank, bulk, models):
    app.command()(command)
app.add_typer(job, name="job")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"identity-reward-client {package_version('identity-reward-client')}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
) -> None:
    """Options before the command; CommandGroup reads --traceback."""


def main() -> None:
    """Entry point of the `identity-reward` script."""
    app(prog_name="identity-reward")
