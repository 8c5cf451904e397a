"""Command line of the token file: `identity-reward token create|list|revoke`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..settings.groups import PREFIX
from ..settings.settings import Settings, SettingsError
from . import tokens
from .tokens import Scope

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke bearer tokens of a service.")

Name = Annotated[str, typer.Argument(help="Name of the token's user; the service counts and limits calls by it.")]
File = Annotated[
    Path | None, typer.Option(help=f"File of tokens; by default that of {PREFIX}TOKENS_PATH.", dir_okay=False)
]


def _path(file: Path | None) -> Path:
    path = file or Settings.load().auth.tokens_path
    if path is None:
        raise SettingsError(f"no file of tokens is given: use --file or {PREFIX}TOKENS_PATH")
    return path


def _fail(error: Exception) -> typer.Exit:
    typer.echo(f"identity-reward token: {error}", err=True)
    return typer.Exit(2)


@app.command()
def create(
    name: Name,
    scope: Annotated[Scope, typer.Option(help="score calls the models; admin also reads /metrics.")] = "score",
    file: File = None,
) -> None:
    """Print a new token. It is shown once: only its hash is stored."""
    try:
        path = _path(file)
        token = tokens.create(path, name, scope)
    except (SettingsError, OSError) as error:
        raise _fail(error) from None
    typer.echo(token)
    typer.echo(f"{path} holds its hash; the token itself is not shown again.", err=True)


@app.command("list")
def list_(file: File = None) -> None:
    """Print names and scopes."""
    try:
        stored = tokens.read(_path(file))
    except SettingsError as error:
        raise _fail(error) from None
    table = Table("name", "scope", box=None)
    for token in stored:
        table.add_row(token.name, token.scope)
    Console().print(table)


@app.command()
def revoke(name: Name, file: File = None) -> None:
    """Revoke a token: a running service refuses it within two seconds."""
    try:
        tokens.revoke(_path(file), name)
    except (SettingsError, OSError) as error:
        raise _fail(error) from None
