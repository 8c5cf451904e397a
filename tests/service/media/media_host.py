"""Media hosts on loopback, well-behaved and hostile, with TLS certificates of an authority made for the test."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trustme

# called with the connection after the request was read
Behaviour = Callable[[Any], None]


def respond(body: bytes = b"", status: str = "200 OK", **headers: str) -> Behaviour:
    all_headers = {"Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    data = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
    return lambda connection: connection.sendall(data)


def redirect(to: str, status: str = "302 Found") -> Behaviour:
    return respond(status=status, Location=to)


def raw(data: bytes) -> Behaviour:
    return lambda connection: connection.sendall(data)


def drip(head: bytes, chunk: bytes, pause_s: float = 0.05) -> Behaviour:
    """Sends `chunk` again and again, slowly, until the client closes the connection."""

    def send(connection):
        connection.sendall(head)
        while True:
            time.sleep(pause_s)
            connection.sendall(chunk)

    return send


def flood(head: bytes, chunk: bytes) -> Behaviour:
    return drip(head, chunk, 0)


def silence(connection) -> None:
    with suppress(OSError):
        connection.recv(1)


class MediaHost:
    """Server whose `paths` map a path to its behaviour; `requests` lists paths and heads of all requests."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.paths: dict[str, Behaviour] = {}
        self.requests: list[tuple[str, str]] = []
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
                self.requests.append((path, "\n".join(lines)))
                self.paths.get(path, respond(b"no such path", "404 Not Found"))(wrapped)

    def close(self) -> None:
        self._socket.close()


class Authority:
    """A certificate authority; `file` holds its certificate."""

    def __init__(self, folder):
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.file)

    def context(self, *names: str) -> ssl.SSLContext:
        """TLS context of a server with a certificate for these names and addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        return context

    @contextmanager
    def host(self, *names: str) -> Iterator[MediaHost]:
        host = MediaHost(self.context(*(names or ("localhost", "127.0.0.1"))))
        try:
            yield host
        finally:
            host.close()
