"""Options that verbs share, and the client that they choose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from .base import RewardClient
from .http_client import DEFAULT_URL, HttpRewardClient
from .local import local_client
from .retry import RetryPolicy

T = TypeVar("T")

Reference = Annotated[
    list[Path], typer.Option("--reference", "-r", help="Picture of one person; repeat it, one a person.")
]
Prompt = Annotated[str | None, typer.Option(help="The prompt that the videos were made from.")]
Model = Annotated[str | None, typer.Option(help="Name of a served model; the server's default when absent.")]
Fps = Annotated[float | None, typer.Option(help="Frames a second, instead of the file's own.")]
Theta = Annotated[float | None, typer.Option(help="Tie parameter above 1; 5 when absent.")]
Url = Annotated[str | None, typer.Option(help=f"Where the service listens; {DEFAULT_URL} when absent.")]
Local = Annotated[bool, typer.Option("--local", help="Score in this process, without a service.")]
Json = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Details = Annotated[bool, typer.Option("--details", help="Also show what a reward is made of.")]

# someone waits at the shell: a service that isn't there is reported within a second
_BRIEF = RetryPolicy(max_attempts=3, base_s=0.2, deadline_s=60.0)


def open_client(url: str | None, local: bool, model: str | None = None, retry: RetryPolicy = _BRIEF) -> RewardClient:
    if local and url is not None:
        raise typer.BadParameter("--local and --url exclude each other")
    if local:
        return local_client(None if model is None else [model])
    return HttpRewardClient(DEFAULT_URL if url is None else url, retry=retry)


def ask(url: str | None, local: bool, model: str | None, question: Callable[[RewardClient], Awaitable[T]]) -> T:
    """One question to a client that is opened for it and closed after it; a spinner on a terminal's stderr."""

    async def run() -> T:
        client = open_client(url, local, model)
        try:
            return await question(client)
        finally:
            await client.close()

    with Console(stderr=True).status("working"):
        return asyncio.run(run())
