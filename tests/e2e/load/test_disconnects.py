"""Clients that vanish in the middle of an upload or of a stream: what was held for them is free, the others go on."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import httpx
import pytest

from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.wire.raw_body import CONTENT_TYPE as RAW
from tests.e2e.conftest import grey_body
from tests.e2e.grpc_calls import free, group, metric, until

JSON = "application/json"
UPLOADS = {"POST /v1/score": JSON, "POST /v1/groups:raw": RAW, "PUT /v1/reference-sets": JSON}
BODY = json.dumps(grey_body(30)).encode()

# a caller that sends half a megabyte and then no more, until it is killed
UPLOADER = """
import sys, time
import grpc
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub

def parts():
    for _ in range(8):
        yield pb2.Chunk(data=bytes(1 << 16))
    time.sleep(60)

RewardServiceStub(grpc.insecure_channel(sys.argv[1])).ScoreChunked(parts())
"""


@pytest.fixture(autouse=True)
def goes_on(both):
    """The server is as empty after it as before it, and a video is scored."""
    until(lambda: free(both.url), "something is still held for somebody")
    yield
    until(lambda: free(both.url), "something is still held for somebody", 2)
    assert httpx.post(f"{both.url}/v1/score", json=grey_body(1), timeout=10).json()["reward"] == 1
    assert both.process.poll() is None


@pytest.fixture
def stub(both):
    with grpc.insecure_channel(both.grpc_target) as channel:
        yield RewardServiceStub(channel)


def leave(connection: socket.socket, how: str) -> None:
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("length", ["announced", "chunked"])
@pytest.mark.parametrize("route", UPLOADS)
def test_half_a_body_over_http(both, route, length, how):
    head = f"{route} HTTP/1.1\r\nHost: x\r\nContent-Type: {UPLOADS[route]}\r\n"
    half = BODY[: len(BODY) // 2]
    if length == "announced":
        sent = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + half
    else:
        sent = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(half):x}\r\n".encode() + half + b"\r\n"
    host, port = both.url.removeprefix("http://").split(":")
    callers = [socket.create_connection((host, int(port))) for _ in range(3)]
    for one in callers:
        one.sendall(sent)
    until(lambda: metric(both.url, "body_bytes") == 3 * len(half), "room is taken for what has come")
    for one in callers:
        leave(one, how)
    assert until(lambda: metric(both.url, "body_bytes") == 0, "the room is free") < 1


def test_an_upload_over_grpc_that_is_cancelled_half_way(both, stub):
    stop = threading.Event()

    def parts():
        for _ in range(4):
            yield pb2.Chunk(data=bytes(1 << 16))
        stop.wait(20)

    calls = [stub.ScoreChunked.future(parts()), stub.PutReferenceSetChunked.future(parts())]
    until(lambda: metric(both.url, "body_bytes") == 8 << 16, "room is taken for what comes")
    for call in calls:
        call.cancel()
    assert until(lambda: metric(both.url, "body_bytes") == 0, "the room is free") < 1
    stop.set()


def test_an_upload_over_grpc_whose_process_is_killed(both):
    uploader = subprocess.Popen([sys.executable, "-c", UPLOADER, both.grpc_target])
    try:
        until(lambda: metric(both.url, "body_bytes") == 8 << 16, "room is taken for what comes", 20)
    finally:
        uploader.send_signal(signal.SIGKILL)
        uploader.wait(10)
    assert until(lambda: metric(both.url, "body_bytes") == 0, "the room is free") < 1


@pytest.mark.parametrize("how", ["cancels", "hangs up"])
def test_a_stream_that_is_left_after_its_first_item(both, how):
    """Six videos of 0.2 s, two a batch: who leaves after the first two doesn't let the last four be scored."""
    done, passed = metric(both.url, "items_total"), metric(both.url, "batch_tokens_total")
    with grpc.insecure_channel(both.grpc_target) as channel:
        stream = RewardServiceStub(channel).ScoreGroup(group(200, 201, 202, 203, 204, 205))
        first = next(stream)
        assert first.item.scored.reward == 200 + first.item.index
        assert metric(both.url, "waiting_tokens") == 600
        if how == "cancels":
            stream.cancel()
        else:
            channel.close()
        left = time.monotonic()
        assert until(lambda: free(both.url), "its place is free") < 0.5
    assert httpx.post(f"{both.url}/v1/score", json=grey_body(3), timeout=10).json()["reward"] == 3
    assert time.monotonic() - left < 1, "the batch that runs takes 0.4 s, and the one after it 0.4 s more"
    assert metric(both.url, "items_total") - done == 1
    assert metric(both.url, "batch_tokens_total") - passed == 500, "four of the six, and the one after them"
