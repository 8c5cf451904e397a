"""A request's body, read whole under its limits, or read past."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from identity_reward_client import errors

from ..scheduling.admission import ByteRoom, HeldBytes
from .openapi import JSON, Route

# for the rest of a refused body: in all, and without a byte
_DISCARD_S, _PAUSE_S = 10, 0.5


def check_type(headers: Headers, route: Route) -> None:
    given = headers.get("content-type")
    if given is not None and given.split(";")[0].strip().lower() not in route.content_types:
        raise errors.UnsupportedMediaType(f"this route takes {' or '.join(route.content_types)}")
    if given is None and route.content_type != JSON:
        raise errors.UnsupportedMediaType(f"say Content-Type: {route.content_type}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise errors.UnsupportedMediaType("compressed bodies aren't taken; send the body as it is")


def announced(headers: Headers) -> int | None:
    """What Content-Length says, if it is there and a number."""
    text = headers.get("content-length", "")
    return int(text[:20]) if text.isdecimal() else None


class Body:
    """`most` bytes are taken at most, and `room` is held for what has arrived, until `release`: a body that was
    only announced holds nothing."""

    def __init__(self, headers: Headers, receive: Receive, most: int, room: ByteRoom | None):
        self._headers = headers
        self._receive = receive
        self._most = most
        self._held = HeldBytes(room)
        # over the limit, as far as is known
        self.too_long = (announced(headers) or 0) > most
        # all of it was read, or nothing of it is on its way
        self.done = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"

    async def read(self) -> bytes:
        """PayloadTooLarge, Overloaded, or Cancelled when the client goes away before its end."""
        size = announced(self._headers)
        if size is not None:
            self._check(size)
            self._held.check(size)
        chunks: list[bytes] = []
        size = 0
        while not self.done:
            chunks.append(await self._chunk())
            size += len(chunks[-1])
            self._check(size)
            self._held.grow_to(size)
        return b"".join(chunks)

    async def discard(self) -> None:
        """Reads past what is left of a refused request, up to the limit, and for as long as it comes.

        A connection that is closed with bytes unread is reset: the answer can get lost on it, and a proxy takes the
        server for a broken one (RFC 9112, 9.6). Called before the answer it leaves a connection that can be used again,
        called after it one that the answer survives.
        """
        left = 0 if "expect" in self._headers else self._most
        with suppress(errors.Cancelled, TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while not self.done and left > 0:
                    left -= len(await asyncio.wait_for(self._chunk(), _PAUSE_S))

    def release(self) -> None:
        self._held.release()

    async def _chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # answered all the same: BentoML's timeout waits for an answer, or holds the request till it fires
            raise errors.Cancelled("the client went away before its request was complete")
        self.done = not message.get("more_body", False)
        return message.get("body", b"")

    def _check(self, size: int) -> None:
        if size > self._most:
            self.too_long = True
            raise errors.PayloadTooLarge(
                f"the body is over {self._most} bytes; send fewer or smaller videos at a time",
                details={"limit": "max_body_bytes", "maximum": self._most},
            )


def replay(body: bytes) -> Receive:
    """The body as one message, and then no further one: whether the client is still there is watched elsewhere."""
    left: Iterable[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        for message in left:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nothing sets it")

    return replayed
