"""Around every route: who may be answered at all, limits, request ids, one shape of errors, and counting."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from identity_reward_client import errors

from ..auth.authenticator import Authenticator
from ..auth.tokens import Scope as TokenScope
from ..engine.call_fields import read_call, read_timeout, request_id
from ..engine.engine import ScoringEngine
from ..errors import typed
from ..operations.drain import InFlight
from ..operations.logging import access
from ..operations.metrics import OTHER, Metrics
from ..scheduling.call import Call
from ..settings.settings import Settings
from .body import Body, check_type, replay
from .context import Exchange, current
from .openapi import ROUTES, Route
from .responses import Reply


def find(path: str, method: str) -> tuple[str, Route | None] | None:
    """(label of the path, its route under this method), or None for a path that isn't ours."""
    known = [route for route in ROUTES if _pattern(route.path).fullmatch(path)]
    if not known:
        return None
    return known[0].path, next((route for route in known if route.method == method), None)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    literals = re.split(r"\{\w+\}", template)
    return re.compile("[^/]+".join(map(re.escape, literals)))


class EdgeMiddleware:
    """Reads the body whole, under its limit and the request's deadline, before anything looks at it.

    Before that it asks for the token, where there are tokens. Paths outside the API document end here, so that nothing
    of BentoML's own pages is reachable; so do WebSockets, which no route takes. A request whose client goes away is
    cancelled. `engine` gives the engine once there is one.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        metrics: Metrics,
        auth: Authenticator | None = None,
        engine: Callable[[], ScoringEngine | None] = lambda: None,
        in_flight: InFlight | None = None,
    ):
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._auth = auth or Authenticator(settings.auth.tokens_path)
        self._engine = engine
        self._in_flight = in_flight or InFlight()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.monotonic()
        headers = Headers(scope=scope)
        exchange = Exchange(Call(request_id(headers)))
        token = current.set(exchange)
        engine = self._engine()
        room = None if engine is None else engine.body_room
        reply = Reply(send, exchange, Body(headers, receive, self._settings.requests.max_body_bytes, room))
        found = find(scope["path"], scope["method"])
        seconds = self._settings.requests.request_timeout_s
        try:
            seconds = read_timeout(headers, seconds)
            async with self._in_flight.limited(seconds):
                await self._answer(scope, headers, found, receive, reply, engine)
        except TimeoutError:
            await reply.fail(errors.DeadlineExceeded(f"not answered within {seconds:g} s", retry_after_s=1))
        except Exception as error:
            await reply.fail(typed(error))
        finally:
            reply.body.release()
            label = found[0] if found else OTHER
            self._metrics.requests.labels(label, str(reply.status)).inc()
            seconds = time.monotonic() - started
            self._metrics.request_seconds.labels(label).observe(seconds)
            if exchange.error is not None:
                self._metrics.errors.labels(exchange.error.code).inc()
            if self._settings.operations.access_log:
                access(label, reply.status, seconds)
            current.reset(token)

    async def _answer(
        self, scope: Scope, headers: Headers, found, receive: Receive, reply: Reply, engine: ScoringEngine | None
    ) -> None:
        exchange = current.get()
        name = self._identify(headers, found)
        client = name or (scope.get("client") or ("unknown", 0))[0]
        call = read_call(headers, exchange.call.request_id, client, self._settings.requests.request_timeout_s)
        exchange.call = replace(call, admin=self._auth.is_admin(name))
        # further in, nobody needs the token, and nobody can log it
        kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        scope = {**scope, "headers": kept}
        if found is None:
            raise errors.NotFound("no such route; GET /openapi.json lists them")
        _, route = found
        if route is None or route.request is None:
            return await self._app(scope, receive, reply)
        check_type(headers, route)
        if engine is not None and route.scores:
            engine.check_room(exchange.call)
        body = await reply.body.read()
        await _unless_gone(self._app(scope, replay(body), reply), receive)

    def _identify(self, headers: Headers, found) -> str | None:
        """The token's name, if tokens are asked for. Raised before anything says which paths there are."""
        routes = [route for route in ROUTES if found is not None and route.path == found[0]]
        if self._settings.auth.open_probes and any(route.probe for route in routes):
            return None
        given = headers.getlist("authorization")
        wanted: TokenScope = "admin" if any(route.scope == "admin" for route in routes) else "score"
        return self._auth.check(", ".join(given) if given else None, wanted)


async def _unless_gone(answer, receive: Receive) -> None:
    """Awaits `answer`, or cancels it when the client has gone away."""
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise errors.Cancelled("the client went away before its answer")
        work.result()
    finally:
        gone.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
