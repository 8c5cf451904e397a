"""Plain TCP connections to a server, for callers that break rules which client libraries keep."""

import socket
from contextlib import suppress

from tests.support.ports import address_of
from tests.support.waiting import GENEROUS_S


def open_connection(url: str, timeout_s: float = GENEROUS_S) -> socket.socket:
    return socket.create_connection(address_of(url), timeout=timeout_s)


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes or resets the connection."""
    data = b""
    with suppress(ConnectionError):
        while chunk := connection.recv(1 << 16):
            data += chunk
    return data
