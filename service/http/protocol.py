"""uvicorn's HTTP protocol with limits on request heads, and without upgrades other than WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# request line and headers together; nginx takes 8 KiB per line, and four lines
MAX_HEAD_BYTES = 64 << 10
MAX_HEADERS = 100


def install() -> None:
    """Makes every uvicorn server of this process that does not choose a protocol use `LimitedProtocol`."""
    auto.AutoHTTPProtocol = LimitedProtocol  # type: ignore[misc,assignment]


class LimitedProtocol(HttpToolsProtocol):
    """Answers 431 to a head that is too long and 408 to one that takes too long, and then closes the connection.

    The limit counts the bytes that arrive while a head, or the trailer of a chunked body, is read: httptools keeps them
    until it is complete.

    A request may offer an upgrade that this server does not take, as Java's HttpClient and `curl --http2` offer h2c.
    httptools ends such a request after its head; it is parsed again without the offer (RFC 9110, 7.8).
    """

    head_timeout_s = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = self._new_parser()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refusal: tuple[int, str] | None = None
        self._in_head = True
        self._ignores_upgrade = False
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._clock is None and not self._responding:
            self._start_head()  # for empty lines too: they stop uvicorn's clock for idle connections
        self._bytes_since_progress += len(data)
        super().data_received(data)
        if self._bytes_since_progress > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, f"the head of the request is over {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._ignores_upgrade = False
        if self._clock is None:
            self._start_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._count(len(name) + len(value))
        if self._in_head:  # else a trailer, which is ignored
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._bytes_since_progress = 0
        self._stop_clock()
        is_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        self._ignores_upgrade = is_upgrade and not self._should_upgrade()
        if not self._ignores_upgrade:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_since_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._bytes_since_progress = 0
        if not self._ignores_upgrade:
            super().on_message_complete()

    def resume_without_upgrade(self, rest: bytes) -> bool:
        """Parses the request again without its offer to upgrade, then `rest`. False for a WebSocket."""
        if not self._ignores_upgrade:
            return False
        head = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        head += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = self._new_parser()
        self.parser.feed_data(b"".join([*head, b"\r\n", rest]))
        return True

    def send_400_response(self, msg: str) -> None:
        if self._refusal is None:
            super().send_400_response(msg)
        else:
            self._refuse(*self._refusal)

    @property
    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _new_parser(self) -> _Parser:
        parser = _Parser(self)
        # as in uvicorn: the first of several pipelined requests is answered though it closes the connection
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _start_head(self) -> None:
        self._bytes_since_progress = self._head_bytes = self._headers = 0
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
        if not self._responding:
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            length = b"content-length: %d\r\n\r\n" % len(text)
            self.transport.write(STATUS_LINE[status] + head + length + text.encode())
        self.transport.close()


class _Parser(httptools.HttpRequestParser):
    """Passes requests that offer an unsupported upgrade back to the protocol instead of ending them."""

    def __init__(self, protocol: LimitedProtocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # uvicorn gives bytes
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._protocol.resume_without_upgrade(data[upgrade.args[0] :]):
                raise
