"""In front of every gRPC method, health and reflection included: who may call, and whether there is room."""

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
from ..errors import stopping, typed
from ..operations.drain import InFlight
from ..operations.metrics import OTHER, Metrics
from .call import refusing_handler, texts

# (path of the method, metadata) -> the caller's name, None for its address; raises Unauthenticated, PermissionDenied
Authenticate = Callable[[str, Mapping[str, str]], str | None]

# name of the call's authenticated client
caller: ContextVar[str | None] = ContextVar("caller", default=None)
UPLOADS = frozenset(method.chunked_path for method in METHODS if method.chunkable)
PATHS = UPLOADS | {method.path for method in METHODS}


def by_token(auth: Authenticator, open_probes: bool) -> Authenticate:
    """Every method takes a token of scope `score`, where there are tokens; health takes none with `open_probes`."""

    def check(path: str, metadata: Mapping[str, str]) -> str | None:
        if open_probes and path.startswith("/grpc.health."):
            return None
        return auth.check(metadata.get("authorization"), "score")

    return check


def anyone(path: str, metadata: Mapping[str, str]) -> None:
    return None


class Gate(grpc.aio.ServerInterceptor):
    def __init__(self, most: int, metrics: Metrics, authenticate: Authenticate):
        self._most = most
        self._metrics = metrics
        self._authenticate = authenticate
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        # the time limits of calls under way
        self.in_flight = InFlight()
        self.draining = False

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        try:
            caller.set(self._authenticate(details.method, texts(details.invocation_metadata)))
            if details.method.startswith(f"/{SERVICE}/"):
                self._check_room()
        except Exception as failure:
            error = typed(failure)
            self.count(details.method, error.grpc_status, error.code)
            return refusing_handler(error, details.method in UPLOADS)
        handler = await continuation(details)
        if handler is None:
            self.count(details.method, "UNIMPLEMENTED")
        return handler

    def _check_room(self) -> None:
        if self.draining:
            raise stopping()
        if self._running >= self._most:
            raise Overloaded(f"{self._running} calls are under way, no more than {self._most} are taken at a time")

    def count(self, path: str, status: str, code: str | None = None) -> None:
        self._metrics.requests.labels(path if path in PATHS else OTHER, status).inc()
        if code is not None:
            self._metrics.errors.labels(code).inc()

    @contextmanager
    def running(self) -> Iterator[None]:
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def wait_idle(self) -> None:
        await self._idle.wait()
