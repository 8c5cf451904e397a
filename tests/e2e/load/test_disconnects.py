"""Clients that disconnect during an upload or a stream: their capacity is released, others are unaffected."""

import json
import signal
import subprocess
import sys
import threading

import grpc
import httpx
import pytest

from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.wire.raw_body import CONTENT_TYPE as RAW
from tests.e2e.grpc_calls import group_request
from tests.support.connections import open_connection, reset
from tests.support.grey_videos import grey_request
from tests.support.metrics import is_idle, metric
from tests.support.waiting import GENEROUS_S, wait_until

JSON = "application/json"
UPLOADS = {"POST /v1/score": JSON, "POST /v1/groups:raw": RAW, "PUT /v1/reference-sets": JSON}
BODY = json.dumps(grey_request(30)).encode()

# a caller that sends half a megabyte and then waits until it is killed
UPLOADER = """
import sys, time
import grpc
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub

def parts():
    for _ in range(8):
        yield pb2.Chunk(data=bytes(1 << 16))
    time.sleep(600)

RewardServiceStub(grpc.insecure_channel(sys.argv[1])).ScoreChunked(parts())
"""


@pytest.fixture(autouse=True)
def server_recovers(slow_server):
    """The server holds nothing before and after the test, and scores a video afterwards."""
    wait_until(lambda: is_idle(slow_server.url), "nothing is held for anybody")
    yield
    wait_until(lambda: is_idle(slow_server.url), "nothing is held for anybody")
    answer = httpx.post(f"{slow_server.url}/v1/score", json=grey_request(1), timeout=GENEROUS_S)
    assert answer.json()["reward"] == 1
    assert slow_server.process.poll() is None


@pytest.fixture
def stub(slow_server):
    with grpc.insecure_channel(slow_server.grpc_target) as channel:
        yield RewardServiceStub(channel)


def wait_for_body_bytes(server, count: int) -> None:
    wait_until(lambda: metric(server.url, "body_bytes") == count, f"{count} bytes of bodies are held")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("length", ["announced", "chunked"])
@pytest.mark.parametrize("route", UPLOADS)
def test_a_client_that_sends_half_a_body_releases_its_capacity(slow_server, route, length, how):
    head = f"{route} HTTP/1.1\r\nHost: x\r\nContent-Type: {UPLOADS[route]}\r\n"
    half = BODY[: len(BODY) // 2]
    if length == "announced":
        request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + half
    else:
        request = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(half):x}\r\n".encode() + half + b"\r\n"
    callers = [open_connection(slow_server.url) for _ in range(3)]
    for caller in callers:
        caller.sendall(request)
    wait_for_body_bytes(slow_server, 3 * len(half))
    for caller in callers:
        if how == "reset":
            reset(caller)
        caller.close()
    wait_for_body_bytes(slow_server, 0)


def test_a_grpc_upload_cancelled_half_way_releases_its_capacity(slow_server, stub):
    stop = threading.Event()

    def parts():
        for _ in range(4):
            yield pb2.Chunk(data=bytes(1 << 16))
        stop.wait(GENEROUS_S)

    calls = [stub.ScoreChunked.future(parts()), stub.PutReferenceSetChunked.future(parts())]
    wait_for_body_bytes(slow_server, 8 << 16)
    for call in calls:
        call.cancel()
    wait_for_body_bytes(slow_server, 0)
    stop.set()


def test_a_grpc_upload_of_a_killed_process_releases_its_capacity(slow_server):
    uploader = subprocess.Popen([sys.executable, "-c", UPLOADER, slow_server.grpc_target])
    try:
        wait_for_body_bytes(slow_server, 8 << 16)
    finally:
        uploader.send_signal(signal.SIGKILL)
        uploader.wait(GENEROUS_S)
    wait_for_body_bytes(slow_server, 0)


@pytest.mark.parametrize("how", ["cancels", "hangs up"])
def test_a_stream_that_is_closed_early_cancels_its_videos(slow_server, how):
    """Six videos, two per batch: a caller that leaves after the first two keeps the last two from being scored."""
    gate, url = slow_server.gate, slow_server.url
    items, tokens = metric(url, "items_total"), metric(url, "batch_tokens_total")
    with grpc.insecure_channel(slow_server.grpc_target) as channel:
        with gate.closed():
            stream = RewardServiceStub(channel).ScoreGroup(group_request(20, 21, 22, 23, 24, 25))
            gate.let_pass(1)
            first = next(stream)
            assert first.item.scored.reward == 20 + first.item.index
            assert metric(url, "waiting_tokens") == 600
            if how == "cancels":
                stream.cancel()
            else:
                channel.close()
            wait_until(lambda: is_idle(url), "its capacity is free while the model is still busy")
        answer = httpx.post(f"{url}/v1/score", json=grey_request(3), timeout=GENEROUS_S)
    assert answer.json()["reward"] == 3
    assert metric(url, "items_total") - items == 1
    assert metric(url, "batch_tokens_total") - tokens == 500, "four of the six, and the one after them"
