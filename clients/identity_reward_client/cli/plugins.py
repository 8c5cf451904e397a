"""Verbs of other packages, found by entry point and loaded when asked for: a broken one breaks no other."""

from __future__ import annotations

import sys
import traceback
from importlib.metadata import entry_points
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from ..errors import RewardError
from ..local import INSTALL

GROUP = "identity_reward.commands"
# verbs of packages that may be absent, and what brings them
_INSTALLED_BY = {"serve": INSTALL, "token": INSTALL}


class CommandGroup(TyperGroup):
    """Built-in verbs first, then those of entry points; errors end as one line on stderr."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return own + sorted({entry.name for entry in entry_points(group=GROUP)} - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = [entry for entry in entry_points(group=GROUP) if entry.name == cmd_name]
        if not found and cmd_name not in _INSTALLED_BY:
            return None
        if not found:
            return _unavailable(cmd_name, "its package is not installed")
        try:
            return _command(cmd_name, found[0].load())
        except Exception as error:  # whatever a stranger's module does while it loads
            return _unavailable(cmd_name, f"{type(error).__name__}: {error}")

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (RewardError, OSError) as error:
            _fail(ctx, getattr(error, "message", None) or str(error), error)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if _ends_the_program(error):
                raise
            _fail(ctx, f"unexpected {type(error).__name__}: {error} (--traceback shows where)", error)


def _ends_the_program(error: Exception) -> bool:
    """Whether typer itself answers this error: usage errors and the like carry their exit code."""
    return hasattr(error, "exit_code")


def _fail(ctx: Any, message: str, error: Exception):
    if ctx.params.get("traceback"):
        traceback.print_exception(error, file=sys.stderr)
    line = " ".join(message.split())
    Console(stderr=True, soft_wrap=True).print(f"error: {line}", style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def _command(name: str, function: Any) -> Any:
    """Of a function its verb, of a `typer.Typer` its verbs below `name`."""
    if isinstance(function, typer.Typer):
        group = typer.main.get_command(function)
        group.name = name
        return group
    holder = typer.Typer(add_completion=False)
    holder.command(name)(function)
    return typer.main.get_command(holder)


def _unavailable(name: str, why: str) -> Any:
    remedy = f"; {_INSTALLED_BY[name]}" if name in _INSTALLED_BY else ""

    def unavailable(arguments: list[str] = typer.Argument(None, hidden=True)):
        raise RewardError(f"`identity-reward {name}` is not available: {why}{remedy}")

    unavailable.__doc__ = escape(f"(not available: {why}{remedy})")
    holder = typer.Typer(add_completion=False)
    holder.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(unavailable)
    return typer.main.get_command(holder)
