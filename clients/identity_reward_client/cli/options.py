"""Options that several commands have, and the client that they select."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from ..base import RewardClient
from ..errors import InvalidRequest
from ..fields.fps import check_fps
from ..local import local_client
from ..transports.http import DEFAULT_URL, HttpRewardClient
from ..transports.retry import RetryPolicy
from ..wire.headers import Priority

T = TypeVar("T")


def _fps(text: str) -> Any:
    try:
        return check_fps(text)
    except InvalidRequest as error:
        raise typer.BadParameter(error.message) from None


Reference = Annotated[
    list[Path], typer.Option("--reference", "-r", help="Image of one person; repeat it for each person.")
]
Prompt = Annotated[str | None, typer.Option(help="The prompt that the videos were generated from.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="Name of a served model, the server's default if absent; with --local also a folder or an .onnx file."
    ),
]
Fps = Annotated[
    Any,  # a number, "compat" or None, as the parser returns it
    typer.Option(
        parser=_fps,
        metavar="NUMBER|compat",
        help="Frames per second, instead of the file's own; compat: the rate that the model assumes for every file.",
    ),
]
Theta = Annotated[float | None, typer.Option(help="Tie parameter above 1; 5 if absent.")]
Url = Annotated[
    str | None, typer.Option(help=f"Address of the service: http(s):// or grpc(s)://; {DEFAULT_URL} if absent.")
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="IDENTITY_REWARD_TOKEN",
        help="For a service that requires one; the variable keeps it out of process lists and the shell history.",
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Score in this process, without a service.")]
Dtype = Annotated[
    str | None,
    typer.Option(help="With --local: float32 or bfloat16, the precision of a folder's model."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Details = Annotated[bool, typer.Option("--details", help="Also show the explanation of each reward.")]

# interactive use: an unreachable service is reported within a second
BRIEF = RetryPolicy(max_attempts=3, base_s=0.2, deadline_s=60.0)


@dataclass(frozen=True)
class Target:
    """Where to score: the service at `url`, or with `local` this process, which then loads `model` alone."""

    url: str | None
    local: bool
    model: str | None
    dtype: str | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.local and self.url is not None:
            raise typer.BadParameter("--local and --url exclude each other")
        if self.dtype is not None and not self.local:
            raise typer.BadParameter("--dtype goes with --local; a service has that of `serve --dtype`")

    @property
    def request_model(self) -> str | None:
        """Model name for requests; None in this process, where the only model is the default."""
        return None if self.local else self.model

    def open(self, retry: RetryPolicy = BRIEF, priority: Priority = "interactive") -> RewardClient:
        """A client, which the caller closes."""
        if self.local:
            return local_client(None if self.model is None else [self.model], self.dtype)
        if self.url is not None and self.url.startswith(("grpc://", "grpcs://")):
            from ..transports.grpc import GrpcRewardClient  # grpc is slow to load

            return GrpcRewardClient(self.url, retry=retry, token=self.token, priority=priority)
        url = DEFAULT_URL if self.url is None else self.url
        return HttpRewardClient(url, retry=retry, token=self.token, priority=priority)


def call_client(target: Target, call: Callable[[RewardClient], Awaitable[T]]) -> T:
    """Run one call of a client that is opened for it and closed after it, with a spinner on a terminal's stderr."""

    async def run() -> T:
        client = target.open()
        try:
            return await call(client)
        finally:
            await client.close()

    with Console(stderr=True).status("working"):
        return asyncio.run(run())
