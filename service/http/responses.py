"""Answers as they leave: one shape of errors, the request's id, and nothing of what BentoML says by itself."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Send

from identity_reward_client import errors
from identity_reward_client.wire.headers import REQUEST_ID_HEADER
from identity_reward_client.wire.validation import explain_found

from .body import Body
from .context import Exchange, error_response

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


class Reply:
    """`send` for the inner app: holds back error bodies that aren't in our shape and writes them anew."""

    def __init__(self, send: Send, exchange: Exchange, body: Body):
        self._send = send
        self._exchange = exchange
        self.body = body
        self._held: Message | None = None
        self._body = b""
        self.status = 0

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
        if not self.body.too_long and not isinstance(error, errors.DeadlineExceeded):  # that one has had its time
            await self.body.discard()
        await self._start(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": response.body, "more_body": True})
        if self.body.too_long:
            await self.body.discard()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, message: Message) -> None:
        self.status = message["status"]
        headers = MutableHeaders(raw=list(message["headers"]))
        headers[REQUEST_ID_HEADER] = self._exchange.call.request_id
        headers["X-Content-Type-Options"] = "nosniff"
        if not self.body.done:
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
