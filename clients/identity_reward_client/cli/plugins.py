"""Commands of other packages, found by entry point and loaded on use, so that a broken one breaks no other."""

from __future__ import annotations

import sys
import traceback
from importlib.metadata import entry_points
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from ..errors import RewardError
from ..local import INSTALL

ENTRY_POINT_GROUP = "identity_reward.commands"
# commands of packages that may be absent, and how to install them
_INSTALLED_BY = {"serve": INSTALL, "token": INSTALL}


class CommandGroup(TyperGroup):
    """Built-in commands first, then those of entry points. Errors become one line on stderr and exit code 1."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order of the help page."""
        built_in = super().list_commands(ctx)
        return built_in + sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)} - set(built_in))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command with this name; for one that fails to load, a command that says why."""
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None:
            return built_in
        entries = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == cmd_name]
        if not entries and cmd_name not in _INSTALLED_BY:
            return None
        if not entries:
            return _unavailable(cmd_name, "its package is not installed")
        try:
            return _command(cmd_name, entries[0].load())
        except Exception as error:  # another package's module may raise anything
            return _unavailable(cmd_name, f"{type(error).__name__}: {error}")

    def invoke(self, ctx: Any) -> Any:
        """Run the command and report its error."""
        try:
            return super().invoke(ctx)
        except (RewardError, OSError) as error:
            _fail(ctx, getattr(error, "message", None) or str(error), error)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if _is_usage_error(error):
                raise
            _fail(ctx, f"unexpected {type(error).__name__}: {error} (--traceback shows where)", error)


def _is_usage_error(error: Exception) -> bool:
    """Whether typer reports this error itself: its own errors have an exit code."""
    return hasattr(error, "exit_code")


def _fail(ctx: Any, message: str, error: Exception) -> NoReturn:
    if ctx.params.get("traceback"):
        traceback.print_exception(error, file=sys.stderr)
    line = " ".join(message.split())
    Console(stderr=True, soft_wrap=True).print(f"error: {line}", style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def _command(name: str, function: Any) -> Any:
    """The command of a function, or the group of commands of a `typer.Typer`."""
    if isinstance(function, typer.Typer):
        group = typer.main.get_command(function)
        group.name = name
        return group
    holder = typer.Typer(add_completion=False)
    holder.command(name)(function)
    return typer.main.get_command(holder)


def _unavailable(name: str, reason: str) -> Any:
    remedy = f"; {_INSTALLED_BY[name]}" if name in _INSTALLED_BY else ""

    def unavailable(arguments: list[str] = typer.Argument(None, hidden=True)) -> None:
        raise RewardError(f"`identity-reward {name}` is not available: {reason}{remedy}")

    unavailable.__doc__ = escape(f"(not available: {reason}{remedy})")
    holder = typer.Typer(add_completion=False)
    holder.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(unavailable)
    return typer.main.get_command(holder)
