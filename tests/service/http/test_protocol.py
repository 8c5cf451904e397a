"""A real uvicorn with the protocol: heads that are too long or too slow, and offers to upgrade."""

import socket
import threading
import time
from contextlib import suppress

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from service.http import protocol
from service.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS, LimitedProtocol


class Hasty(LimitedProtocol):
    head_timeout_s = 0.4


seen: list[dict] = []


async def app(scope, receive, send):
    assert scope["type"] == "http"
    seen.append(scope)
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message.get("body", b"")
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


@pytest.fixture(scope="module")
def address():
    config = uvicorn.Config(app, http=Hasty, lifespan="off", log_level="critical", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def connection(address):
    with socket.create_connection(address, timeout=30) as connection:
        yield connection


def read(connection) -> bytes:
    """Everything until the server closes the connection."""
    data = b""
    with suppress(ConnectionError):
        while chunk := connection.recv(1 << 16):
            data += chunk
    return data


def receive(connection, end: bytes, count: int = 1) -> bytes:
    """What comes until `end` has come `count` times."""
    data = b""
    while data.count(end) < count:
        chunk = connection.recv(1 << 16)
        assert chunk, data
        data += chunk
    return data


def send(connection, data: bytes) -> None:
    with suppress(ConnectionError):  # the server may have closed the connection already
        connection.sendall(data)


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        GET + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
        GET + b"X: " + b"x" * (1 << 20) + b"\r\n\r\n",
        GET + b"x" * (1 << 20),
        b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
        GET + b"".join(b"X: %s\r\n" % (b"x" * 999) for _ in range(99)) + b"\r\n",
        b"\r\n" * (1 << 20),
    ],
    ids=["5000 headers", "a value of 1 MB", "a name of 1 MB", "a URL of 1 MB", "99 headers of 1 kB", "2 MB of nothing"],
)
def test_a_head_that_is_too_long_is_431_and_closes_the_connection(connection, head):
    seen.clear()
    send(connection, head)
    assert read(connection).startswith(b"HTTP/1.1 431 ")
    assert not seen


def test_a_head_that_fits_is_served(connection):
    send(connection, GET + b"".join(b"X-%d: y\r\n" % i for i in range(MAX_HEADERS - 1)) + b"\r\n")
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("start", [b"", b"G", GET, GET + b"X: ", b"\r\n"])
def test_a_head_that_does_not_come_is_408_and_closes_the_connection(connection, start):
    started = time.monotonic()
    send(connection, start)
    assert read(connection).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started > 0.3


@pytest.mark.parametrize("drop", [b"X: y\r\n", b"\r\n"], ids=["headers", "empty lines"])
def test_a_head_that_trickles_in_ends_the_connection(connection, drop):
    connection.sendall(GET if drop != b"\r\n" else b"\r\n")
    connection.settimeout(0.05)
    data = None
    # at 20 drops a second, MAX_HEADERS alone would end the first head after 5 s, and nothing the empty lines
    for _ in range(MAX_HEADERS - 20):
        send(connection, drop)
        try:
            data = connection.recv(1 << 16)
            break
        except TimeoutError:
            continue
        except ConnectionError:
            data = b""
            break
    assert data is not None, "the connection is still open"
    assert data.startswith(b"HTTP/1.1 408 ") or not data


def test_an_idle_connection_is_kept_for_the_next_request(connection):
    for _ in range(3):
        send(connection, GET + b"\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.5)  # longer than a head may take


def test_empty_lines_between_requests_do_not_keep_the_connection(connection):
    send(connection, GET + b"\r\n")
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    send(connection, b"\r\n")  # the connection's own timeout is below the 60 s of idle connections
    assert read(connection).startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_is_not_a_slow_head(connection):
    send(connection, POST)
    for _ in range(4):
        time.sleep(0.2)
        send(connection, b"1\r\nx\r\n")
    send(connection, b"0\r\n\r\n")
    assert b"4 bytes" in connection.recv(1 << 16)


def test_large_bodies_pass(connection):
    body = b"x" * (8 << 20)
    send(connection, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert b"%d bytes" % len(body) in connection.recv(1 << 16)


def test_many_small_chunks_pass(connection):
    send(connection, POST + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
    assert b"50000 bytes" in connection.recv(1 << 16)


def test_trailers_are_dropped_and_bounded(connection, address):
    send(connection, POST + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 9 + b"\r\n")
    assert b"1 bytes" in connection.recv(1 << 16)
    assert not any(name == b"x" for name, _ in seen[-1]["headers"])
    for flood in (b"X: y\r\n" * 100_000, b"X: " + b"y" * (1 << 20), b"X" * (1 << 20)):
        with socket.create_connection(address, timeout=30) as other:
            send(other, POST + b"1\r\nx\r\n0\r\n" + flood)
            assert b"200 OK" not in read(other)


def test_an_endless_chunk_extension_ends(connection):
    send(connection, POST + b"1;" + b"x" * (1 << 20))
    assert b"200 OK" not in read(connection)


def test_pipelined_requests_are_answered_in_turn(connection):
    send(connection, (GET + b"\r\n") * 3)
    data = b""
    while data.count(b"0 bytes") < 3:
        data += connection.recv(1 << 16)
    assert data.count(b"200 OK") == 3


def test_slow_callers_do_not_block_others(address):
    slow = [socket.create_connection(address) for _ in range(50)]
    for caller in slow:
        send(caller, GET)
    started = time.monotonic()
    with socket.create_connection(address, timeout=30) as quick:
        send(quick, GET + b"\r\n")
        assert quick.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - started < 50 * Hasty.head_timeout_s, "one after the other"
    for caller in slow:
        assert read(caller).startswith(b"HTTP/1.1 408 ")
        caller.close()


def test_servers_that_choose_no_protocol_get_the_limited_one():
    protocol.install()
    config = uvicorn.Config(app)
    config.load()
    assert config.http_protocol_class is LimitedProtocol
    assert MAX_HEAD_BYTES >= 1 << 14


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n"
POST_4 = b"POST /a HTTP/1.1\r\nHost: x\r\nX-Name: kept\r\n" + H2C


@pytest.mark.parametrize("upgrade", [b"h2c", b"TLS/1.3", b"websocket, h2c", b"x"])
@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 4\r\n\r\nabcd", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("size", [1 << 16, 7, 1])
def test_an_offer_to_upgrade_does_not_change_the_request(connection, upgrade, body, size):
    request = POST_4.replace(b"h2c", upgrade, 1) + body
    for start in range(0, len(request), size):
        send(connection, request[start : start + size])
    assert receive(connection, b"4 bytes").startswith(b"HTTP/1.1 200 ")
    assert (seen[-1]["method"], seen[-1]["path"]) == ("POST", "/a")
    names = [name for name, _ in seen[-1]["headers"]]
    assert b"upgrade" not in names
    assert (b"x-name", b"kept") in seen[-1]["headers"]
    send(connection, GET + b"\r\n")  # the connection is still that of HTTP/1.1
    assert b"0 bytes" in receive(connection, b"0 bytes")


def test_requests_behind_an_offer_to_upgrade_are_answered(connection):
    send(connection, POST_4 + b"Content-Length: 4\r\n\r\nabcd" + GET + H2C + b"\r\n" + GET + b"\r\n")
    data = receive(connection, b"0 bytes", count=2)
    assert data.count(b"200 OK") == 3
    assert data.index(b"4 bytes") < data.index(b"0 bytes")


def test_a_large_body_behind_an_offer_to_upgrade_arrives(connection):
    body = b"x" * (2 << 20)
    send(connection, POST_4 + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b"%d bytes" % len(body) in receive(connection, b" bytes")


def test_limits_hold_behind_an_offer_to_upgrade(connection):
    send(connection, POST_4 + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n")
    assert read(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("head", [b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_tunnels_and_http_2_are_400(connection, head):
    send(connection, head)
    assert read(connection).startswith(b"HTTP/1.1 400 ")
