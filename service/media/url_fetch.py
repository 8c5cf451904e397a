"""Content of a URL: from allowed hosts, at addresses that were checked, within a size and a time."""

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
from .input_budget import Allowance

MAX_REDIRECTS = 3
MAX_URL_CHARS = 4096
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = (
    ("User-Agent", "identity-reward"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),  # no decompression: what is counted is what there is
    ("Connection", "close"),
)


class Fetcher:
    """Blocking; safe from several threads. Reads no proxy or credential from the environment, keeps no cookie."""

    def __init__(self, settings: UrlSettings, ssl_context: ssl.SSLContext | None = None):
        """`ssl_context`: the certificates that are trusted, the system's when absent."""
        self._rules = [HostRule.parse(text) for text in settings.hosts]
        self._schemes = ("https", "http") if settings.allow_http else ("https",)
        self._private = [parse_network(text) for text in settings.private_networks]
        self._timeout_s = settings.timeout_s
        self._ssl = ssl_context or ssl.create_default_context()
        # resolving has no time limit of its own; threads are started when needed
        self._resolvers = ThreadPoolExecutor(4, thread_name_prefix="resolve")

    def get(self, url: str, what: str, allowance: Allowance) -> bytes:
        """The body that `url` answers. InputRefused or LimitExceeded, whose messages start with `what`."""
        deadline = min(time.monotonic() + self._timeout_s, allowance.deadline)
        target = self._checked(url, what)
        for _ in range(MAX_REDIRECTS + 1):
            backend = _Pinned(self._private, self._resolvers, deadline)
            try:
                found = self._ask(target, backend, what, allowance)
            except _NotAllowed:
                raise InputRefused(f"{what}: its URL leads to an address that this server doesn't connect to") from None
            except (httpcore.TimeoutException, FutureTimeout):
                raise InputRefused(
                    f"{what} could not be fetched within {self._timeout_s:g} s",
                    details={"limit": "url_timeout_s", "maximum": self._timeout_s},
                ) from None
            except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                raise InputRefused(f"{what} could not be fetched: {_reason(error)}") from None
            if isinstance(found, bytes):
                return found
            try:
                target = self._checked(str(target.join(found)), f"{what}, after a redirect")
            except httpx.InvalidURL:
                raise InputRefused(f"{what}: it was redirected to what is no URL") from None
        raise InputRefused(f"{what}: more than {MAX_REDIRECTS} redirects")

    def close(self) -> None:
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def _checked(self, text: str, what: str) -> httpx.URL:
        """The parsed URL, from which alone the request is made: what was checked is what is asked."""
        try:
            url = httpx.URL(text if len(text) <= MAX_URL_CHARS else "")
        except httpx.InvalidURL:
            raise InputRefused(f"{what}: its URL can't be read") from None
        if url.scheme not in self._schemes or not url.host:
            raise InputRefused(f"{what}: URLs must start with {' or '.join(f'{one}://' for one in self._schemes)}")
        if url.userinfo:
            raise InputRefused(f"{what}: its URL has a user name or password in it; they aren't taken")
        host = url.raw_host.decode("ascii").strip("[]").lower()
        if not any(rule.allows(url.scheme, host, url.port) for rule in self._rules):
            raise InputRefused(f"{what}: its URL's host and port aren't among those that this server fetches from")
        return url

    def _ask(self, url: httpx.URL, backend: httpcore.NetworkBackend, what: str, allowance: Allowance) -> bytes | str:
        """The body, or where it redirects to."""
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
                raise InputRefused(f"{what} could not be fetched: its host answered {response.status}")
            if headers.get("content-encoding", "identity").lower() != "identity":
                raise InputRefused(f"{what} could not be fetched: its host sends it compressed")
            announced = headers.get("content-length", "")
            if announced.isdecimal():
                allowance.check(int(announced[:20]), what)
            chunks = []
            for chunk in response.iter_stream():
                allowance.take(len(chunk), what)
                chunks.append(chunk)
            return b"".join(chunks)


class _NotAllowed(Exception):
    """A name resolved to an address that may not be connected to."""


def _reason(error: Exception) -> str:
    """A few words of ours: an error's own text may quote what the host sent."""
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "the host's certificate doesn't verify"
    if isinstance(cause, ssl.SSLError):
        return "no TLS connection"
    if isinstance(error, socket.gaierror):
        return "its host isn't known"
    if isinstance(error, httpcore.ConnectError):
        return "its host doesn't take the connection"
    return "the connection broke" if isinstance(error, httpcore.NetworkError) else "its host doesn't speak HTTP/1.1"


class _Pinned(httpcore.NetworkBackend):
    """Resolves, checks every address and connects to one of those, with nothing looked up in between."""

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
        looked_up = self._resolvers.submit(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(found[4][0]) for found in looked_up.result(_left(self._deadline))))
        if not all(may_connect(address, self._private) for address in addresses):
            raise _NotAllowed
        for last, address in enumerate(addresses, 1 - len(addresses)):
            try:
                stream = self._inner.connect_tcp(address, port, _left(self._deadline), local_address, socket_options)
                return _Bounded(stream, self._deadline)
            except httpcore.ConnectError:
                if not last:
                    raise
        raise httpcore.ConnectError("no address")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left


class _Bounded(httpcore.NetworkStream):
    """A connection until `deadline`: a host that sends a byte a second would never reach a limit of each read."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float):
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Bounded(self._inner.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
