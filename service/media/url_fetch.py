"""Fetching of URLs: from allowed hosts only, at checked addresses, within a size and a time."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import httpcore
import httpx

from identity_reward_client.errors import InputRefused

from ..settings.groups import UrlSettings
from ..settings.url_rules import HostRule, Network, may_connect, parse_network
from .input_budget import InputBudget

MAX_REDIRECTS = 3
MAX_URL_CHARS = 4096
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = (
    ("User-Agent", "identity-reward"),
    ("Accept", "*/*"),
    # no decompression: the counted bytes are those in memory
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)


class Fetcher:
    """HTTP client that blocks. Uses no proxy or credential of the environment, keeps no cookie. Thread-safe."""

    def __init__(self, settings: UrlSettings, ssl_context: ssl.SSLContext | None = None):
        """`ssl_context` holds the certificate authorities that are trusted; the system's if None."""
        self._rules = [HostRule.parse(text) for text in settings.hosts]
        self._schemes = ("https", "http") if settings.allow_http else ("https",)
        self._private = [parse_network(text) for text in settings.private_networks]
        self._timeout_s = settings.timeout_s
        self._ssl = ssl_context or ssl.create_default_context()
        # name resolution has no timeout of its own; threads are started when needed
        self._resolvers = ThreadPoolExecutor(4, thread_name_prefix="resolve")

    def get(self, url: str, label: str, budget: InputBudget) -> bytes:
        """The body behind `url`. Raises InputRefused or LimitExceeded, whose messages start with `label`."""
        deadline = min(time.monotonic() + self._timeout_s, budget.deadline)
        target = self._checked(url, label)
        for _ in range(MAX_REDIRECTS + 1):
            backend = _PinnedBackend(self._private, self._resolvers, deadline)
            try:
                response = self._request(target, backend, label, budget)
            except _AddressForbidden:
                raise InputRefused(
                    f"{label}: its URL resolves to an address that this server doesn't connect to"
                ) from None
            except (httpcore.TimeoutException, FutureTimeout):
                raise InputRefused(
                    f"{label} could not be fetched within {self._timeout_s:g} s",
                    details={"limit": "url_timeout_s", "maximum": self._timeout_s},
                ) from None
            except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                raise InputRefused(f"{label} could not be fetched: {_reason(error)}") from None
            if isinstance(response, bytes):
                return response
            try:
                target = self._checked(str(target.join(response)), f"{label}, after a redirect")
            except httpx.InvalidURL:
                raise InputRefused(f"{label}: it was redirected to something that is not a URL") from None
        raise InputRefused(f"{label}: more than {MAX_REDIRECTS} redirects")

    def close(self) -> None:
        """Free the threads."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def _checked(self, text: str, label: str) -> httpx.URL:
        """The parsed URL, if it is allowed. The request is made from it, never from the text."""
        try:
            url = httpx.URL(text if len(text) <= MAX_URL_CHARS else "")
        except httpx.InvalidURL:
            raise InputRefused(f"{label}: its URL can't be read") from None
        if url.scheme not in self._schemes or not url.host:
            raise InputRefused(
                f"{label}: URLs must start with {' or '.join(f'{scheme}://' for scheme in self._schemes)}"
            )
        if url.userinfo:
            raise InputRefused(f"{label}: its URL holds a user name or password, which isn't allowed")
        host = url.raw_host.decode("ascii").strip("[]").lower()
        if not any(rule.allows(url.scheme, host, url.port) for rule in self._rules):
            raise InputRefused(f"{label}: its URL's host and port aren't among those that this server fetches from")
        return url

    def _request(
        self, url: httpx.URL, backend: httpcore.NetworkBackend, label: str, budget: InputBudget
    ) -> bytes | str:
        """The body, or the target of a redirect as text."""
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        with (
            httpcore.ConnectionPool(self._ssl, network_backend=backend) as pool,
            pool.stream("GET", target, headers=_HEADERS, extensions={"timeout": timeout}) as response,
        ):
            headers = httpx.Headers(response.headers)
            if response.status in _REDIRECTS and "location" in headers:
                return headers["location"]
            if response.status != 200:
                raise InputRefused(f"{label} could not be fetched: its host responded with status {response.status}")
            if headers.get("content-encoding", "identity").lower() != "identity":
                raise InputRefused(f"{label} could not be fetched: its host sends a compressed body")
            length = headers.get("content-length", "")
            if length.isdecimal():
                budget.check(int(length[:20]), label)
            chunks = []
            for chunk in response.iter_stream():
                budget.use(len(chunk), label)
                chunks.append(chunk)
            return b"".join(chunks)


class _AddressForbidden(Exception):
    """A host name resolved to an address that is not allowed."""


def _reason(error: Exception) -> str:
    """A fixed phrase: an error's own text may quote what the host sent."""
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "the host's certificate can't be verified"
    if isinstance(cause, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(error, socket.gaierror):
        return "its host name can't be resolved"
    if isinstance(error, httpcore.ConnectError):
        return "its host refuses the connection"
    return "the connection broke" if isinstance(error, httpcore.NetworkError) else "its host doesn't speak HTTP/1.1"


class _PinnedBackend(httpcore.NetworkBackend):
    """Resolves a name, checks every address and connects to one of them, without a second look-up in between."""

    def __init__(self, private: Sequence[Network], resolvers: ThreadPoolExecutor, deadline: float):
        self._private = private
        self._resolvers = resolvers
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        name = host.strip("[]")
        lookup = self._resolvers.submit(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
        entries = lookup.result(_remaining_s(self._deadline))
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        if not all(may_connect(address, self._private) for address in addresses):
            raise _AddressForbidden
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(
                    address, port, _remaining_s(self._deadline), local_address, socket_options
                )
                return _DeadlineStream(stream, self._deadline)
            except httpcore.ConnectError:
                if address == addresses[-1]:
                    raise
        raise httpcore.ConnectError("no address")


def _remaining_s(deadline: float) -> float:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise httpcore.ReadTimeout
    return remaining_s


class _DeadlineStream(httpcore.NetworkStream):
    """Connection with one deadline: a host that sends a byte per second never exceeds a timeout per read."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float):
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _remaining_s(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _remaining_s(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(
            self._inner.start_tls(ssl_context, server_hostname, _remaining_s(self._deadline)), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
