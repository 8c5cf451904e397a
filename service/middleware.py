"""Around every route: who may be answered at all, limits, request ids, one shape of errors, and counting."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity_reward_client import errors
from identity_reward_client.validation import explain_found

from .auth import Authenticator
from .call import REQUEST_ID, Call, new_id
from .exchange import Exchange, current, error_response
from .failures import typed
from .metrics import OTHER, Metrics
from .openapi import JSON, ROUTES, Route
from .settings import Settings
from .tokens import Scope as TokenScope

# what BentoML and Starlette answer by themselves, by status
_PLAIN: dict[int, type[errors.RewardError]] = {
    400: errors.InvalidRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.PayloadTooLarge,
    415: errors.UnsupportedMediaType,
    429: errors.RateLimited,
    503: errors.NotReady,
    504: errors.DeadlineExceeded,
}


def find(path: str, method: str) -> tuple[str, Route | None] | None:
    """(label of the path, its route under this method), or None for a path that isn't ours."""
    known = [route for route in ROUTES if _fits(route.path, path)]
    if not known:
        return None
    return known[0].path, next((route for route in known if route.method == method), None)


def _fits(template: str, path: str) -> bool:
    head, brace, _ = template.partition("{")
    if not brace:
        return path == template
    rest = path.removeprefix(head)
    return path.startswith(head) and bool(rest) and "/" not in rest


class EdgeMiddleware:
    """Reads the body whole, under its limit and the request's deadline, before anything looks at it.

    Before that it asks for the token, where there are tokens. Paths outside the API document end here, so that nothing
    of BentoML's own pages is reachable; so do WebSockets, which no route takes.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, auth: Authenticator | None = None):
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._auth = auth or Authenticator(settings.tokens_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.monotonic()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        client = scope.get("client") or ("unknown", 0)
        deadline = started + self._settings.request_timeout_s
        exchange = Exchange(Call(given if REQUEST_ID.fullmatch(given) else new_id(), client[0], deadline=deadline))
        token = current.set(exchange)
        reply = _Reply(send, exchange)
        reply.unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        found = find(scope["path"], scope["method"])
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._answer(scope, headers, found, receive, reply)
        except TimeoutError:
            seconds = self._settings.request_timeout_s
            await reply.fail(errors.DeadlineExceeded(f"not answered within {seconds:g} s", retry_after_s=1))
        except Exception as error:
            await reply.fail(typed(error))
        finally:
            current.reset(token)
            label = found[0] if found else OTHER
            self._metrics.requests.labels(label, str(reply.status)).inc()
            self._metrics.request_seconds.labels(label).observe(time.monotonic() - started)
            if exchange.error is not None:
                self._metrics.errors.labels(exchange.error.code).inc()

    async def _answer(self, scope: Scope, headers: Headers, found, receive: Receive, reply: _Reply) -> None:
        self._identify(headers, found)
        # further in, nobody needs the token, and nobody can log it
        kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        scope = {**scope, "headers": kept}
        if found is None:
            raise errors.NotFound("no such route; GET /openapi.json lists them")
        _, route = found
        if route is not None and route.request is not None:
            _check_type(headers, route)
            receive = _replay(await self._read(headers, receive), receive)
            reply.unread = False
        await self._app(scope, receive, reply)

    def _identify(self, headers: Headers, found) -> None:
        """The token's name becomes the call's client. Raised before anything says which paths there are."""
        routes = [route for route in ROUTES if found is not None and route.path == found[0]]
        if self._settings.open_probes and any(route.probe for route in routes):
            return
        given = headers.getlist("authorization")
        wanted: TokenScope = "admin" if any(route.scope == "admin" for route in routes) else "score"
        name = self._auth.check(", ".join(given) if given else None, wanted)
        if name is not None:
            exchange = current.get()
            exchange.call = replace(exchange.call, client=name)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        most = self._settings.max_body_bytes
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > most:
            raise _too_large(most)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                # answered all the same: BentoML's timeout waits for an answer, or holds the request till it fires
                raise errors.Cancelled("the client went away before its request was complete")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > most:
                raise _too_large(most)
            if not message.get("more_body", False):
                return b"".join(chunks)


def _too_large(most: int) -> errors.PayloadTooLarge:
    return errors.PayloadTooLarge(
        f"the body is over {most} bytes; send fewer or smaller videos at a time",
        details={"limit": "max_body_bytes", "maximum": most},
    )


def _check_type(headers: Headers, route: Route) -> None:
    given = headers.get("content-type")
    if given is not None and given.split(";")[0].strip().lower() != route.content_type:
        raise errors.UnsupportedMediaType(f"this route takes {route.content_type}")
    if given is None and route.content_type != JSON:
        raise errors.UnsupportedMediaType(f"say Content-Type: {route.content_type}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise errors.UnsupportedMediaType("compressed bodies aren't taken; send the body as it is")


def _replay(body: bytes, receive: Receive) -> Receive:
    left: Iterable[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        for message in left:
            return message
        return await receive()

    return replayed


class _Reply:
    """`send` for the inner app: holds back error bodies that aren't in our shape and writes them anew."""

    def __init__(self, send: Send, exchange: Exchange):
        self._send = send
        self._exchange = exchange
        self._held: Message | None = None
        self._body = b""
        self.status = 0
        # the request has a body that wasn't read to its end
        self.unread = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and self._exchange.error is None:
                self._held = message
                return
            await self._start(message)
        elif self._held is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                held, self._held = self._held, None
                await self._respond(_reshape(held["status"], self._body), Headers(raw=held["headers"]).get("allow"))
        else:
            await self._send(message)

    async def fail(self, error: errors.RewardError) -> None:
        """Answer with `error`, unless an answer is under way already; then the connection just ends."""
        if not self.status:
            await self._respond(error)

    async def _respond(self, error: errors.RewardError, allow: str | None = None) -> None:
        response = error_response(error)
        if allow:
            response.headers["Allow"] = allow
        await self._start(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": response.body, "more_body": False})

    async def _start(self, message: Message) -> None:
        self.status = message["status"]
        headers = MutableHeaders(raw=list(message["headers"]))
        headers["X-Request-Id"] = self._exchange.call.request_id
        headers["X-Content-Type-Options"] = "nosniff"
        if self.unread:
            headers["Connection"] = "close"  # or the server goes on reading, for as long as the caller sends
        await self._send({**message, "headers": headers.raw})


def _reshape(status: int, body: bytes) -> errors.RewardError:
    """BentoML's and Starlette's own error bodies in our tree. Their text is kept only where it names fields."""
    cls = _PLAIN.get(status, errors.InternalError if status >= 500 else errors.InvalidRequest)
    if status == 400:
        return cls(_validation_text(body))
    if status == 503:
        return cls("the server is starting or stopping", retry_after_s=5)
    return cls({404: "no such route", 405: "this route takes another method"}.get(status, HTTPStatus(status).phrase))


def _validation_text(body: bytes) -> str:
    try:
        return explain_found(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the request is malformed"
