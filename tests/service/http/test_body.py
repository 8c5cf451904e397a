import asyncio

import pytest
from starlette.datastructures import Headers

from identity_reward_client.errors import Cancelled, InvalidRequest, Overloaded, PayloadTooLarge, UnsupportedMediaType
from identity_reward_client.messages import GroupRequest
from identity_reward_client.wire.raw_body import CONTENT_TYPE as SAFETENSORS
from service.http.body import RequestBody, check_content_type, content_length, decode
from service.http.route import JSON
from service.http.routes import ROUTES, SCORE_GROUP
from service.scheduling.byte_capacity import ByteCapacity

RAW = next(route for route in ROUTES if route.content_type == SAFETENSORS)
JOBS = next(route for route in ROUTES if route.path == "/v1/jobs" and route.method == "POST")


def body_of(*chunks: bytes, max_bytes: int = 100, capacity=None, ends: bool = True, **headers: str) -> RequestBody:
    """A chunked body; without `ends` the client disconnects behind it."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request"} if ends else {"type": "http.disconnect"})

    async def receive():
        return messages.pop(0) if messages else await asyncio.Event().wait()

    headers = headers or {"transfer-encoding": "chunked"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestBody(Headers(named), receive, max_bytes, capacity)


async def test_chunks_are_joined():
    body = body_of(b"ab", b"", b"cd")
    assert not body.complete
    assert await body.read() == b"abcd"
    assert body.complete


async def test_no_body_is_read_where_none_is_announced():
    body = body_of(content_length="0")
    assert body.complete
    assert await body.read() == b""


async def test_a_body_over_the_limit_is_refused_before_and_while_it_is_read():
    announced = body_of(b"x", content_length="101")
    assert announced.too_long
    arriving = body_of(b"x" * 60, b"x" * 60, b"never read")
    assert not arriving.too_long
    for body in (announced, arriving):
        with pytest.raises(PayloadTooLarge, match="over 100 bytes"):
            await body.read()
        assert body.too_long


async def test_arrived_bytes_take_capacity_until_release():
    capacity = ByteCapacity(100, lambda: 1.0)
    first, second = body_of(b"x" * 60, capacity=capacity), body_of(b"x" * 60, capacity=capacity)
    await first.read()
    with pytest.raises(Overloaded):
        await second.read()
    first.release()
    second.release()
    assert capacity.bytes == 0


async def test_a_client_that_disconnects_in_the_middle_is_cancelled():
    with pytest.raises(Cancelled):
        await body_of(b"ab", ends=False).read()


async def test_the_rest_of_a_body_is_discarded_up_to_the_limit():
    body = body_of(b"x" * 30, b"x" * 30)
    await body.discard()
    assert body.complete
    endless = body_of(*[b"x" * 30] * 10)
    await endless.discard()
    assert not endless.complete
    waiting = body_of(b"x", expect="100-continue", content_length="1")
    await waiting.discard()
    assert not waiting.complete


@pytest.mark.parametrize(
    ("text", "length"), [("12", 12), (None, None), ("-1", None), ("1e3", None), ("9" * 30, int("9" * 20))]
)
def test_a_content_length_is_a_number_or_none(text, length):
    assert content_length(Headers({} if text is None else {"content-length": text})) == length


@pytest.mark.parametrize(
    ("route", "content_type", "taken"),
    [
        (SCORE_GROUP, JSON, True),
        (SCORE_GROUP, "Application/JSON; charset=utf-8", True),
        (SCORE_GROUP, None, True),
        (SCORE_GROUP, "text/plain", False),
        (SCORE_GROUP, "text/plain; application/json", False),
        (RAW, SAFETENSORS, True),
        (RAW, None, False),
        (RAW, JSON, False),
        (JOBS, "application/x-ndjson", True),
        (JOBS, "application/jsonl", True),
        (JOBS, None, False),
    ],
)
def test_each_route_accepts_its_content_types_only(route, content_type, taken):
    headers = Headers({} if content_type is None else {"content-type": content_type})
    if taken:
        return check_content_type(headers, route)
    with pytest.raises(UnsupportedMediaType):
        check_content_type(headers, route)


def test_compressed_bodies_are_refused():
    with pytest.raises(UnsupportedMediaType, match="compressed"):
        check_content_type(Headers({"content-encoding": "gzip"}), SCORE_GROUP)


async def test_a_body_is_decoded_by_the_routes_content_type():
    message = b'{"references": "sha256:%s", "videos": [{"data": "QQ=="}]}' % (b"0" * 64)
    decoded = await decode(SCORE_GROUP, message)
    assert isinstance(decoded, GroupRequest)
    assert await decode(JOBS, b"lines") == b"lines"
    for route, body in ((SCORE_GROUP, b""), (SCORE_GROUP, b"[1]"), (RAW, b"x"), (RAW, b"")):
        with pytest.raises(InvalidRequest):
            await decode(route, body)
