"""Bounds on a request's head: uvicorn's fast parser has none, so a caller could fill memory or hold connections."""

from __future__ import annotations

import asyncio

import httptools
import uvicorn.protocols.http.auto as auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# request line and headers together; nginx takes 8 KiB a line, and four of them
MAX_HEAD_BYTES = 64 << 10
MAX_HEADERS = 100


def guard() -> None:
    """Every server of this process that chooses uvicorn's protocol by itself gets the guarded one."""
    auto.AutoHTTPProtocol = GuardedProtocol  # type: ignore[misc,assignment]


class GuardedProtocol(HttpToolsProtocol):
    """431 for a head that is too long, 408 for one that doesn't come; the connection ends with it.

    Counted is what arrives while a head or a chunked body's trailer is read: httptools holds it until it is complete.
    """

    head_timeout_s = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refusal: tuple[int, str] | None = None
        self._in_head = True
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._clock is None and not self._answering:
            self._start_head()  # empty lines count too: they stop uvicorn's clock for idle connections
        self._since_progress += len(data)
        super().data_received(data)
        if self._since_progress > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, f"the head of the request is over {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if self._clock is None:
            self._start_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._count(len(name) + len(value))
        if self._in_head:  # else a trailer, which nothing here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._since_progress = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._since_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._since_progress = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._refusal is None:
            super().send_400_response(msg)
        else:
            self._refuse(*self._refusal)

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_head(self) -> None:
        self._since_progress = self._head_bytes = self._headers = 0
        self._clock: asyncio.TimerHandle | None = self.loop.call_later(
            self.head_timeout_s, self._refuse, 408, f"no whole head of a request within {self.head_timeout_s:g} s"
        )

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or self._headers > MAX_HEADERS:
            self._refusal = 431, f"at most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes of them are taken"
            raise httptools.HttpParserError  # ends the parser, which then calls send_400_response

    def _refuse(self, status: int, text: str) -> None:
        self._stop_clock()
        if self.transport.is_closing():
            return
        if not self._answering:
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            length = b"content-length: %d\r\n\r\n" % len(text)
            self.transport.write(STATUS_LINE[status] + head + length + text.encode())
        self.transport.close()
