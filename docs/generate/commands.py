"""The `identity-reward` command and all its verbs as Markdown, and their options by verb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from identity_reward_client.cli.app import app

from .markdown import plain, table

PROGRAM = "identity-reward"


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """The path of words of every command that can be run, such as ("job", "submit"), and the command."""
    yield from _below((), typer.main.get_command(app))


def _below(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(None):
        yield from _below((*path, name), command.get_command(None, name))


def options() -> dict[tuple[str, ...], set[str]]:
    """The option names, `--help` included, that each command takes."""
    by_path = {
        path: {"--help", *(name for param in command.params for name in (*param.opts, *param.secondary_opts))}
        for path, command in commands()
    }
    defaults = {path: (*path, name) for path, name in _default_commands((), typer.main.get_command(app))}
    return by_path | {path: by_path[default] for path, default in defaults.items()}


def _default_commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path of every group that runs a command of its own where none is named, and the name of that command."""
    if hasattr(command, "default_command"):
        yield path, command.default_command
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _default_commands((*path, name), command.get_command(None, name))


def reference() -> str:
    return "\n\n".join(_section(path, command) for path, command in commands())


def _section(path: tuple[str, ...], command: Any) -> str:
    arguments = [param for param in command.params if not param.opts[0].startswith("-")]
    words = [PROGRAM, *path, *(_shown(argument) for argument in arguments), "[OPTIONS]"]
    parts = [f"## {PROGRAM} {' '.join(path)}", f"`{' '.join(words)}`", plain(_text(command.help or ""))]
    rows = [(f"`{param.name.upper()}`", "required" if param.required else "", plain(_text(param.help or "")))
            for param in arguments]  # fmt: skip
    rows += [_option(param) for param in command.params if param.opts[0].startswith("-") and not param.hidden]
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def _shown(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(param: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    if param.required:
        default = "required"
    elif param.default in (None, False, ()) or callable(param.default):
        default = ""
    else:
        default = f"`{param.default}`"
    meaning = plain(_text(param.help or "")) + (f" Also read from `{param.envvar}`." if param.envvar else "")
    return names, default, meaning


def _text(help_text: str) -> str:
    """Help without the escapes of rich's markup."""
    return help_text.replace("\\[", "[").replace("\b", "")
