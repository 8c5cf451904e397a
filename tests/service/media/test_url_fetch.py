"""Fetching from real servers over TLS on loopback; only name resolution is replaced."""

import socket
import threading
import time

import pytest

from identity_reward_client.errors import InputRefused, LimitExceeded, RewardError
from service.media.input_budget import InputBudget
from service.media.url_fetch import Fetcher
from tests.service.flat_settings import flat_settings
from tests.service.media.media_host import Authority, MediaHost, drip, flood, raw, redirect, respond, silence

SECRET = b"secret-content"
MAX_BYTES = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def host(authority):
    with authority.host() as host:
        host.paths["/clip"] = respond(b"a clip")
        yield host


@pytest.fixture
def fetch(authority, host):
    """fetch(url, **settings): localhost is allowed unless the settings say otherwise."""
    fetchers = []

    def get(url: str, max_bytes: int = MAX_BYTES, deadline: float = float("inf"), **settings) -> bytes:
        values = {"url_hosts": f"localhost:{host.port}", "url_private_networks": "127.0.0.1/32,::1/128"} | settings
        fetchers.append(Fetcher(flat_settings(**values).urls, authority.trusting))
        return fetchers[-1].get(url, "the video", InputBudget(max_bytes, deadline))

    yield get
    for fetcher in fetchers:
        fetcher.close()


@pytest.fixture
def resolver(monkeypatch):
    """resolver(name, *answers): addresses of each look-up in turn, the last one repeatedly; returns all look-ups."""
    real, answers_of, lookups = socket.getaddrinfo, {}, []

    def look_up(name, port, *rest, **more):
        if name not in answers_of:
            return real(name, port, *rest, **more)
        lookups.append(name)
        answers = answers_of[name]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in addresses for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def set_answers(name, *answers):
        answers_of[name] = [*answers]
        return lookups

    return set_answers


def refused(fetch, *arguments, **options) -> str:
    with pytest.raises(InputRefused) as caught:
        fetch(*arguments, **options)
    assert caught.value.message.startswith("the video")
    assert SECRET.decode() not in str(caught.value)
    return caught.value.message


def test_requests_carry_no_credentials_and_ask_for_plain_bodies(fetch, host):
    assert fetch(host.url("/clip")) == b"a clip"
    [(_, head)] = host.requests
    assert head.splitlines()[0] == f"Host: localhost:{host.port}"
    assert "Accept-Encoding: identity" in head
    assert not {line.split(":")[0].lower() for line in head.splitlines()} & {"authorization", "cookie", "referer"}


def test_proxies_of_the_environment_are_not_used(fetch, host, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(host.url("/clip")) == b"a clip"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.org/clip", "aren't among those"),
        ("https://localhost/clip", "aren't among those"),
        ("https://127.0.0.1:{port}/clip", "aren't among those"),
        ("https://localhost.:{port}/clip", "aren't among those"),
        ("https://localhost:{port}@example.org/clip", "user name or password"),
        ("https://u:p@localhost:{port}/clip", "user name or password"),
        ("https://example.org\\@localhost:{port}/clip", ""),
        ("http://localhost:{port}/clip", "must start with https://"),
        ("HTTP://localhost:{port}/clip", "must start with https://"),
        ("file:///etc/passwd", "must start with https://"),
        ("ftp://localhost:{port}/clip", "must start with https://"),
        ("gopher://localhost:{port}/clip", "must start with https://"),
        ("data:video/mp4;base64,QQ==", "must start with https://"),
        ("//localhost:{port}/clip", "must start with https://"),
        ("localhost:{port}/clip", "must start with https://"),
        ("", "must start with https://"),
        ("https://", "must start with https://"),
        ("https://localhost:{port}/" + "x" * 5000, "must start with https://"),
        ("https://localhost:99999/", "aren't among those"),
        ("https://0177.0.0.1/", "can't be read"),
        ("https://local\nhost:{port}/", "can't be read"),
        ("https://localhost:{port}/\r\nX: y", "can't be read"),
    ],
)
def test_other_urls_are_refused_before_their_host_is_resolved(fetch, host, url, message):
    assert message in refused(fetch, url.format(port=host.port))
    assert host.connections == 0


@pytest.mark.parametrize("name", ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]",
                                  "0.0.0.0", "localhost"])  # fmt: skip
def test_a_listed_host_at_a_private_address_is_refused_without_a_connection(fetch, host, name):
    said = refused(fetch, host.url("/clip", name), url_hosts=f"{name}:{host.port}", url_private_networks="")
    assert "address that this server doesn't connect to" in said
    assert host.connections == 0


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254", "100.64.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
                                     "2002:7f00:1::", "2001::1", "fe80::1", "224.0.0.1"])  # fmt: skip
def test_one_private_address_among_several_refuses_the_host(fetch, host, resolver, address):
    resolver("media.test", ["127.0.0.1", address])
    said = refused(fetch, host.url("/clip", "media.test"), url_hosts=f"media.test:{host.port}")
    assert "address that this server doesn't connect to" in said
    assert host.connections == 0


def test_connections_go_to_the_address_that_was_checked(fetch, authority, resolver):
    """A name server that gives another address the second time is not asked a second time."""
    with authority.host("media.test") as host:
        host.paths["/clip"] = respond(b"a clip")
        lookups = resolver("media.test", ["127.0.0.1"], ["10.0.0.1"])
        assert fetch(host.url("/clip", "media.test"), url_hosts=f"media.test:{host.port}") == b"a clip"
        assert lookups == ["media.test"]


def test_the_next_address_is_tried_when_the_first_refuses_connections(fetch, host, authority, resolver):
    with authority.host("media.test") as other:
        other.paths["/clip"] = respond(b"a clip")
        resolver("media.test", ["::1", "127.0.0.1"])
        assert fetch(other.url("/clip", "media.test"), url_hosts=f"media.test:{other.port}") == b"a clip"


def test_certificates_are_verified_for_the_name_in_the_url(fetch, authority, resolver, tmp_path):
    resolver("media.test", ["127.0.0.1"])
    with authority.host("other.test") as host:
        said = refused(fetch, host.url("/clip", "media.test"), url_hosts=f"media.test:{host.port}")
        assert "certificate can't be verified" in said
    with Authority(tmp_path).host("media.test") as host:
        said = refused(fetch, host.url("/clip", "media.test"), url_hosts=f"media.test:{host.port}")
        assert "certificate can't be verified" in said


def test_plain_http_requires_its_setting(fetch):
    plain = MediaHost()
    plain.paths["/clip"] = respond(b"a clip")
    assert fetch(plain.url("/clip"), url_hosts=f"localhost:{plain.port}", url_allow_http=True) == b"a clip"
    refused(fetch, plain.url("/clip"), url_hosts=f"localhost:{plain.port}")
    plain.close()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_followed(fetch, host, status):
    host.paths["/old"] = redirect("/clip", status)
    assert fetch(host.url("/old")) == b"a clip"


def test_at_most_three_redirects_are_followed(fetch, host):
    for i in range(4):
        host.paths[f"/{i}"] = redirect(f"/{i + 1}")
    host.paths["/4"] = respond(b"a clip")
    assert fetch(host.url("/1")) == b"a clip"
    assert "more than 3 redirects" in refused(fetch, host.url("/0"))


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("https://example.org/clip", "after a redirect: its URL's host and port aren't among"),
        ("http://localhost:{port}/clip", "after a redirect: URLs must start with https://"),
        ("file:///etc/passwd", "must start with https://"),
        ("https://u:p@localhost:{port}/clip", "user name or password"),
        ("//example.org/clip", "aren't among"),
        ("https://0177.0.0.1/", "not a URL"),
        ("https://rebound.test:{port}/clip", "address that this server doesn't connect to"),
    ],
)
def test_redirects_are_checked_like_urls(fetch, host, resolver, to, message):
    resolver("rebound.test", ["169.254.169.254"])
    host.paths["/old"] = redirect(to.format(port=host.port))
    hosts = f"localhost:{host.port},rebound.test:{host.port}"
    assert message in refused(fetch, host.url("/old"), url_hosts=hosts)
    assert host.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (respond(SECRET, "404 Not Found"), "its host responded with status 404"),
        (respond(SECRET, "500 Oops"), "its host responded with status 500"),
        (respond(SECRET, "206 Partial Content"), "its host responded with status 206"),
        (respond(SECRET, "304 Not Modified"), "its host responded with status 304"),
        (respond(SECRET, "302 Found"), "its host responded with status 302"),
        (respond(SECRET, Content_Encoding="gzip"), "sends a compressed body"),
        (raw(SECRET * 9), "doesn't speak HTTP/1.1"),
        (raw(b""), "doesn't speak HTTP/1.1"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + SECRET), "doesn't speak HTTP/1.1"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "doesn't speak HTTP/1.1"),
        (flood(b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 1000 + b"\r\n"), "doesn't speak HTTP/1.1"),
    ],
)
def test_errors_of_bad_responses_do_not_quote_them(fetch, host, behaviour, message, caplog):
    host.paths["/clip"] = behaviour
    assert message in refused(fetch, host.url("/clip"))
    assert SECRET.decode() not in caplog.text


def test_unreachable_hosts_are_refused(fetch, resolver):
    with socket.create_server(("127.0.0.1", 0)) as closed_server:
        port = closed_server.getsockname()[1]
    assert "refuses the connection" in refused(fetch, f"https://localhost:{port}/", url_hosts=f"localhost:{port}")
    assert "can't be resolved" in refused(fetch, "https://no.such.host.invalid/", url_hosts="no.such.host.invalid")


def test_the_size_is_read_from_the_header_or_counted(fetch, host):
    host.paths["/announced"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    endless = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    host.paths["/endless"] = flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endless)
    host.paths["/open"] = flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 0x10000)
    for path in ("/announced", "/endless", "/open"):
        with pytest.raises(LimitExceeded) as caught:
            fetch(host.url(path))
        assert caught.value.details == {"limit": "max_body_bytes", "maximum": MAX_BYTES}
    assert fetch(host.url("/clip"), max_bytes=6) == b"a clip"


@pytest.mark.parametrize(
    "behaviour",
    [silence, drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"x")],
    ids=["nothing", "a slow head", "a slow body"],
)
def test_the_timeout_covers_the_whole_fetch(fetch, host, behaviour):
    host.paths["/slow"] = behaviour
    started = time.monotonic()
    assert "within 0.5 s" in refused(fetch, host.url("/slow"), url_timeout_s=0.5)
    assert 0.4 < time.monotonic() - started < 5


def test_the_deadline_of_the_call_and_slow_name_resolution_end_a_fetch(fetch, host, monkeypatch):
    host.paths["/slow"] = silence
    started = time.monotonic()
    refused(fetch, host.url("/slow"), deadline=time.monotonic() + 0.3)
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(300) and [])
    refused(fetch, host.url("/clip"), url_timeout_s=0.3)
    assert time.monotonic() - started < 5
    released.set()


def test_the_timeout_covers_the_tls_handshake(fetch, host):
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        port = silent_server.getsockname()[1]
        started = time.monotonic()
        said = refused(fetch, f"https://localhost:{port}/", url_hosts=f"localhost:{port}", url_timeout_s=0.4)
        assert "within 0.4 s" in said
        assert time.monotonic() - started < 5


def test_several_fetches_share_one_budget(authority, host):
    host.paths["/half"] = respond(b"x" * 600)
    fetcher = Fetcher(
        flat_settings(url_hosts=f"localhost:{host.port}", url_private_networks="127.0.0.1/32,::1/128").urls,
        authority.trusting,
    )
    budget = InputBudget(1000)
    fetcher.get(host.url("/half"), "video 0", budget)
    with pytest.raises(RewardError, match="video 1: the files behind the request's URLs and paths"):
        fetcher.get(host.url("/half"), "video 1", budget)
    fetcher.close()
