"""A load generator over plain sockets.

Requests are encoded before the measurement, so that sending takes little CPU time from the service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """The result of one request; times are in seconds."""

    # HTTP status; 0 if the connection broke or the client timed out
    status: int
    started: float
    seconds: float
    retry_after: str | None
    kind: str
    items: int


@dataclass(frozen=True)
class Encoded:
    """The bytes of one request; `kind` is its priority class, `items` its number of videos."""

    head: bytes
    body: bytes
    items: int
    kind: str = "rollout"


def encode(path: str, content_type: str, body: bytes, items: int, priority: str = "rollout", **headers: str) -> Encoded:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        f"X-Priority: {priority}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return Encoded("\r\n".join(lines).encode() + b"\r\n\r\n", body, items, priority)


class Connections:
    """Keep-alive connections to one port; a new one is opened when all are busy."""

    def __init__(self, port: int, timeout_s: float = 120.0):
        self._port = port
        self._timeout_s = timeout_s
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: Encoded) -> Outcome:
        started = time.monotonic()
        status, retry_after = 0, None
        try:
            async with asyncio.timeout(self._timeout_s):
                status, retry_after = await self._exchange(request)
        except (OSError, EOFError, TimeoutError, ValueError):
            pass
        return Outcome(status, started, time.monotonic() - started, retry_after, request.kind, request.items)

    async def _exchange(self, request: Encoded) -> tuple[int, str | None]:
        reader, writer = await self._connection()
        try:
            writer.write(request.head)
            writer.write(request.body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            await reader.readexactly(int(fields["content-length"]))
        except BaseException:
            writer.close()
            raise
        if fields.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head[0].split()[1]), fields.get("retry-after")

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # the service closes idle connections
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def closed_loop(port: int, requests: Sequence[Encoded], concurrency: int) -> list[Outcome]:
    """Send every request once, at most `concurrency` at a time."""
    connections, pending, outcomes = Connections(port), iter(requests), []

    async def work() -> None:
        for request in pending:
            outcomes.append(await connections.send(request))

    await asyncio.gather(*(work() for _ in range(concurrency)))
    connections.close()
    return outcomes


async def poisson(port: int, requests: Sequence[Encoded], rate: float, seconds: float, seed: int) -> list[Outcome]:
    """Send requests with Poisson arrivals; no request waits for the response of another.

    Args:
        port: port of the service on loopback.
        requests: sent in this order, again from the first after the last.
        rate: mean number of requests per second.
        seconds: length of the arrival period; the call returns after the last response.
        seed: of the arrival times.
    """
    connections = Connections(port)
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 2) + 10)
    arrivals_s = np.cumsum(gaps)
    begin, tasks = time.monotonic(), []
    for number, arrival_s in enumerate(arrivals_s[arrivals_s < seconds]):
        await asyncio.sleep(max(begin + arrival_s - time.monotonic(), 0))
        tasks.append(asyncio.ensure_future(connections.send(requests[number % len(requests)])))
    outcomes = await asyncio.gather(*tasks)
    connections.close()
    return list(outcomes)
