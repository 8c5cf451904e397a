"""Request bodies: read whole within their limits, decoded to messages, or discarded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive

from identity_reward_client import errors
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.validation import raise_invalid_request

from ..scheduling.byte_capacity import ByteCapacity, HeldBytes
from .route import JSON, Route

# limits on discarding a body: in all, and between two chunks
_DISCARD_TIMEOUT_S, _DISCARD_PAUSE_S = 10, 0.5


def check_content_type(headers: Headers, route: Route) -> None:
    """Raises UnsupportedMediaType. A JSON body may come without a content type."""
    content_type = headers.get("content-type")
    if content_type is None:
        if route.content_type != JSON:
            raise errors.UnsupportedMediaType(f"say Content-Type: {route.content_type}")
    elif content_type.split(";")[0].strip().lower() not in route.content_types:
        raise errors.UnsupportedMediaType(f"this route takes {' or '.join(route.content_types)}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise errors.UnsupportedMediaType("compressed bodies aren't taken; send the body as it is")


async def decode(route: Route, body: bytes) -> Any:
    """The message of a body; the bytes themselves for JSON lines. Raises InvalidRequest."""
    if route.content_type == raw_body.CONTENT_TYPE:
        return await asyncio.to_thread(raw_body.decode, body)
    if route.content_type != JSON or route.request is None:
        return body
    with raise_invalid_request():
        return route.request.model_validate_json(body or b"{}")


def content_length(headers: Headers) -> int | None:
    """The Content-Length header; None without a number in it."""
    text = headers.get("content-length", "")
    return int(text[:20]) if text.isdecimal() else None


class RequestBody:
    """The body of one request, at most `max_bytes` long.

    Bytes that have arrived count against `capacity` until `release`; an announced length alone does not.
    """

    def __init__(self, headers: Headers, receive: Receive, max_bytes: int, capacity: ByteCapacity | None) -> None:
        self._headers = headers
        self._receive = receive
        self._max_bytes = max_bytes
        self._held = HeldBytes(capacity)
        self.too_long = (content_length(headers) or 0) > max_bytes
        # every byte has been read, or there are none
        self.complete = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"

    async def read(self) -> bytes:
        """Raises PayloadTooLarge, Overloaded, or Cancelled when the client disconnects before the end."""
        announced = content_length(self._headers)
        if announced is not None:
            self._check_size(announced)
            self._held.check(announced)
        chunks: list[bytes] = []
        size = 0
        while not self.complete:
            chunks.append(await self._read_chunk())
            size += len(chunks[-1])
            self._check_size(size)
            self._held.grow_to(size)
        return b"".join(chunks)

    async def discard(self) -> None:
        """Reads and drops the rest of a refused request's body, within limits of time and size.

        A connection that is closed with unread bytes is reset: the response can get lost, and a proxy takes the server
        for broken (RFC 9112, 9.6). Discarding before the response keeps the connection usable; discarding after it lets
        the response arrive.
        """
        remaining = 0 if "expect" in self._headers else self._max_bytes
        with suppress(errors.Cancelled, TimeoutError):
            async with asyncio.timeout(_DISCARD_TIMEOUT_S):
                while not self.complete and remaining > 0:
                    remaining -= len(await asyncio.wait_for(self._read_chunk(), _DISCARD_PAUSE_S))

    async def wait_disconnected(self) -> None:
        """Returns when the client has disconnected. May be called after the whole body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def release(self) -> None:
        """Gives the body's bytes back to the capacity."""
        self._held.release()

    async def _read_chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise errors.Cancelled("the client went away before its request was complete")
        self.complete = not message.get("more_body", False)
        return message.get("body", b"")

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            self.too_long = True
            raise errors.PayloadTooLarge(
                f"the body is over {self._max_bytes} bytes; send fewer or smaller videos at a time",
                details={"limit": "max_body_bytes", "maximum": self._max_bytes},
            )
