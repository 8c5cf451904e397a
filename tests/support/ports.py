"""Ports of this machine."""

import socket


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on; another process may still take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def address_of(url: str) -> tuple[str, int]:
    """Host and port of `http://HOST:PORT`, `grpc://HOST:PORT` or `HOST:PORT`."""
    host, _, port = url.rpartition("/")[2].partition(":")
    return host, int(port)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
