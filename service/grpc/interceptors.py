"""The interceptor in front of every gRPC method, health and reflection included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc

from identity_reward_client.errors import Overloaded
from identity_reward_client.proto.methods import METHODS, SERVICE

from ..auth.authenticator import Authenticator
from ..errors import stopping_error, to_reward_error
from ..operations.drain import InFlight
from ..operations.metrics import OTHER, Metrics
from .call import refusing_handler, text_metadata

# (path of the method, metadata) -> the caller's name, None for its address; raises Unauthenticated, PermissionDenied
Authenticate = Callable[[str, Mapping[str, str]], str | None]

# name of the authenticated caller of the call that is being answered
caller: ContextVar[str | None] = ContextVar("caller", default=None)
# paths whose requests come in chunks, and all paths of RewardService
UPLOAD_PATHS = frozenset(method.chunked_path for method in METHODS if method.chunkable)
PATHS = UPLOAD_PATHS | {method.path for method in METHODS}


def by_token(authenticator: Authenticator, open_probes: bool) -> Authenticate:
    """A token of scope `score` for every method, if there are tokens; with `open_probes` health needs none."""

    def authenticate(path: str, metadata: Mapping[str, str]) -> str | None:
        if open_probes and path.startswith("/grpc.health."):
            return None
        return authenticator.check(metadata.get("authorization"), "score")

    return authenticate


def anyone(path: str, metadata: Mapping[str, str]) -> None:
    """Accepts every caller; its address is its name."""
    return None


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Authenticates every call and limits how many calls of RewardService run at once. Counts refused calls."""

    def __init__(self, max_calls: int, metrics: Metrics, authenticate: Authenticate) -> None:
        self._max_calls = max_calls
        self._metrics = metrics
        self._authenticate = authenticate
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        # time limits of running calls
        self.in_flight = InFlight()
        self.draining = False

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        try:
            caller.set(self._authenticate(details.method, text_metadata(details.invocation_metadata)))
            if details.method.startswith(f"/{SERVICE}/"):
                self._check_capacity()
        except Exception as failure:
            error = to_reward_error(failure)
            self._metrics.count_request(route_label(details.method), error.grpc_status, error.code)
            return refusing_handler(error, details.method in UPLOAD_PATHS)
        handler = await continuation(details)
        if handler is None:
            self._metrics.count_request(route_label(details.method), "UNIMPLEMENTED", None)
        return handler

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts a call as running until its response is sent."""
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Returns when no call runs."""
        await self._idle.wait()

    def _check_capacity(self) -> None:
        if self.draining:
            raise stopping_error()
        if self._running >= self._max_calls:
            raise Overloaded(f"{self._running} calls are under way, no more than {self._max_calls} are taken at a time")


def route_label(path: str) -> str:
    """Label of a method in metrics; one for all that are not RewardService's."""
    return path if path in PATHS else OTHER
