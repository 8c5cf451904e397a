import asyncio
import json
import math
import ssl
from email.utils import formatdate

import httpx
import pytest
import trustme
from starlette.responses import Response

from identity_reward_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidResponse,
)
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.http_errors import retry_after_s
from identity_reward_client.transports.retry import RetryPolicy
from tests.identity_reward_client.transports.conftest import QUICK
from tests.identity_reward_client.transports.servers.responses import COMMON, SCORED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        (formatdate(1030, usegmt=True), 30),
        (formatdate(900, usegmt=True), 0),
    ],
    ids=str,
)
def test_retry_after_is_read_as_number_or_date(value, seconds):
    response = httpx.Response(503, headers={} if value is None else {"Retry-After": value})
    assert retry_after_s(response, now=1000) == seconds


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>hello</html>", 200, media_type="text/html"),
        Response("{}", 200, media_type="application/json"),
        Response('{"detail": "Not Found"}', 404, media_type="application/json"),
        Response("", 302, {"Location": "/login"}),
        Response("oops", 500),
        Response(json.dumps({"reward": math.nan, **SCORED, **COMMON}), 200),
        Response(json.dumps({"reward": math.inf, **SCORED, **COMMON}), 200),
        Response(json.dumps({"reward": None, **SCORED, **COMMON}), 200),
    ],
    ids=["HTML", "other JSON", "foreign 404", "redirect", "foreign 500", "NaN", "infinity", "null"],
)
async def test_response_of_another_api_is_an_invalid_response(client, wire, files, answer, references):
    wire.script.append(answer)
    with pytest.raises(InvalidResponse):
        await client.score(references, files / "one.mp4")
    assert len(wire.requests) == 1


async def test_refused_connection_names_the_address_and_how_to_start_a_server(unused_tcp_port, files, references):
    client = HttpRewardClient(f"http://127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(max_attempts=2, base_s=0))
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{unused_tcp_port}.*`identity-reward serve`"):
        await client.score(references, files / "one.mp4")
    await client.close()


async def test_lasting_break_is_connection_failed():
    async def hang_up(reader, writer):
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = HttpRewardClient(url, retry=QUICK)
    with pytest.raises(ConnectionFailed, match="broke"):
        await client.models()
    await client.close()
    server.close()


async def test_timeout_is_deadline_exceeded(wire, files, references):
    wire.delay_s = 5
    client = HttpRewardClient(wire.url, timeout_s=0.2, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        await client.score(references, files / "one.mp4")
    await client.close()


async def test_https_to_a_port_that_speaks_http_says_to_try_http(wire):
    url = wire.url.replace("http://", "https://")
    client = HttpRewardClient(url, retry=QUICK)
    with pytest.raises(InvalidResponse) as caught:
        await client.models()
    assert caught.value.message == f"the port of {url} does not speak TLS; try {wire.url}"
    await client.close()


async def test_untrusted_certificate_is_named(unused_tcp_port):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(
        lambda reader, writer: writer.close(), "127.0.0.1", unused_tcp_port, ssl=context
    )
    client = HttpRewardClient(f"https://127.0.0.1:{unused_tcp_port}", retry=QUICK)
    with pytest.raises(InvalidResponse, match=r"certificate of https://127.0.0.1.* cannot be verified"):
        await client.models()
    await client.close()
    server.close()
