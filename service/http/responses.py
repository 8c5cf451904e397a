"""Responses: messages and errors as JSON, and the headers that every response carries."""

from __future__ import annotations

import math

from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from identity_reward_client.errors import DeadlineExceeded, RewardError
from identity_reward_client.messages import ErrorResponse
from identity_reward_client.wire.error_bodies import to_body
from identity_reward_client.wire.headers import REQUEST_ID_HEADER

from .body import RequestBody


def json_response(message: BaseModel, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status, media_type="application/json")


def error_response(error: RewardError) -> Response:
    response = json_response(ErrorResponse(error=to_body(error)), error.http_status)
    if error.http_status in (429, 503) or error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if error.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


class ResponseWriter:
    """Sends the one response of a request. `status` is 0 until a response has started."""

    def __init__(self, send: Send, request_id: str, body: RequestBody) -> None:
        self._send = send
        self._request_id = request_id
        self._body = body
        self.status = 0

    async def send(self, response: Response, scope: Scope, receive: Receive) -> None:
        await response(scope, receive, self._forward)

    async def send_error(self, error: RewardError, allow: str) -> None:
        """Sends the error, unless a response has started; then the connection just ends.

        `allow` lists the methods of the path, for MethodNotAllowed.
        """
        if self.status:
            return
        response = error_response(error)
        if error.http_status == 405:
            response.headers["Allow"] = allow
        if not self._body.too_long and not isinstance(error, DeadlineExceeded):  # its time is used up
            await self._body.discard()
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        await self._forward(start)
        await self._forward({"type": "http.response.body", "body": response.body, "more_body": True})
        if self._body.too_long:
            await self._body.discard()
        await self._forward({"type": "http.response.body", "body": b"", "more_body": False})

    async def _forward(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            headers[REQUEST_ID_HEADER] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            if not self._body.complete:
                headers["Connection"] = "close"  # else the server reads on for as long as the client sends
            message = {**message, "headers": headers.raw}
        await self._send(message)
