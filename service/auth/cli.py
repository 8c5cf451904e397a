"""`identity-reward token create|list|revoke`: the file of tokens that `tokens_path` names."""

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

app = typer.Typer(no_args_is_help=True, help="Bearer tokens of a service: make, list and revoke them.")

Name = Annotated[str, typer.Argument(help="Who it is for; the service counts and limits calls by this name.")]
File = Annotated[
    Path | None, typer.Option(help=f"The file of tokens; that of {PREFIX}TOKENS_PATH when absent.", dir_okay=False)
]


def _path(given: Path | None) -> Path:
    path = given or Settings.load().auth.tokens_path
    if path is None:
        raise SettingsError(f"say which file: --file, or {PREFIX}TOKENS_PATH")
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
    """Print a new token, once: only its hash is kept."""
    try:
        path = _path(file)
        token = tokens.create(path, name, scope)
    except (SettingsError, OSError) as error:
        raise _fail(error) from None
    typer.echo(token)
    typer.echo(f"{path} holds the hash of it; the token itself is shown this once.", err=True)


@app.command("list")
def list_(file: File = None) -> None:
    """Print names and scopes."""
    try:
        found = tokens.read(_path(file))
    except SettingsError as error:
        raise _fail(error) from None
    table = Table("name", "scope", box=None)
    for token in found:
        table.add_row(token.name, token.scope)
    Console().print(table)


@app.command()
def revoke(name: Name, file: File = None) -> None:
    """Take a token back: a running service refuses it within a second or two."""
    try:
        tokens.revoke(_path(file), name)
    except (SettingsError, OSError) as error:
        raise _fail(error) from None
