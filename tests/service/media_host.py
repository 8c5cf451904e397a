"""Hosts of media on loopback, good and bad: real TLS by a certificate authority made for the test."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trustme

# what a path answers: the connection after its request was read
Behaviour = Callable[[Any], None]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> Behaviour:
    given = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    data = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
    return lambda connection: connection.sendall(data)


def redirect(to: str, status: str = "302 Found") -> Behaviour:
    return answer(status=status, Location=to)


def raw(data: bytes) -> Behaviour:
    return lambda connection: connection.sendall(data)


def drip(head: bytes, each: bytes, pause_s: float = 0.05) -> Behaviour:
    """`each` again and again, slowly, until the other side has enough."""

    def send(connection):
        connection.sendall(head)
        while True:
            time.sleep(pause_s)
            connection.sendall(each)

    return send


def flood(head: bytes, each: bytes) -> Behaviour:
    return drip(head, each, 0)


def silence(connection) -> None:
    with suppress(OSError):
        connection.recv(1)


class MediaHost:
    """`paths` maps a path to its behaviour; `asked` lists what was asked for, with its head."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.paths: dict[str, Behaviour] = {}
        self.asked: list[tuple[str, str]] = []
        self.connections = 0
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str, host: str = "localhost", scheme: str | None = None) -> str:
        return f"{scheme or ('https' if self._context else 'http')}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            wrapped = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            with wrapped, wrapped.makefile("rb") as stream:
                lines = iter(lambda: stream.readline().decode("latin-1").rstrip(), "")
                path = next(lines).split()[1]
                self.asked.append((path, "\n".join(lines)))
                self.paths.get(path, answer(b"no such path", "404 Not Found"))(wrapped)

    def close(self) -> None:
        self._socket.close()


class Authority:
    """A certificate authority; `file` holds its certificate."""

    def __init__(self, folder):
        self._made = trustme.CA()
        self.file = folder / "ca.pem"
        self._made.cert_pem.write_to_path(self.file)

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.file)

    def context(self, *names: str) -> ssl.SSLContext:
        """A server's, with a certificate for these names and addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._made.issue_cert(*names).configure_cert(context)
        return context

    @contextmanager
    def host(self, *names: str) -> Iterator[MediaHost]:
        made = MediaHost(self.context(*(names or ("localhost", "127.0.0.1"))))
        try:
            yield made
        finally:
            made.close()
