"""Methods of RewardService, called by generated stubs and by plain gRPC."""

import asyncio
import re
import time

import grpc
import numpy as np
import pytest

from identity_reward_client.messages import GroupRequest, ReferenceSet
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.proto.methods import METHODS, SERVICE
from identity_reward_client.proto.status import DETAILS_KEY, from_details
from identity_reward_client.transports.grpc import GrpcRewardClient
from tests.service.grpc.conftest import blocked, counted, failure
from tests.support.waiting import until


async def test_a_generated_stub_is_answered(server, connect, score_request, reference, video):
    stub = RewardServiceStub(connect(server))
    call = stub.Score(score_request, metadata=(("x-request-id", "step-12.a"),))
    answer = await call
    assert answer.reward == 0.2
    assert list(answer.frame_indices) == [0, 2, 3, 5]
    assert answer.request_id == "step-12.a" == dict(await call.initial_metadata())["x-request-id"]
    assert [model.name for model in (await stub.ListModels(pb2.ListModelsRequest())).models] == ["brightness"]
    stored = await stub.PutReferenceSet(to_proto(ReferenceSet(images=[reference()])))
    score_request.reference_set_id = stored.id
    again = stub.Score(score_request)
    assert (await again).reward == 0.2
    assert re.fullmatch("[0-9a-f]{32}", dict(await again.initial_metadata())["x-request-id"])


async def test_a_group_streams_each_item_once_and_then_the_whole_answer(server, connect, reference, video):
    request = GroupRequest(references=[reference()], videos=[video(51), video(99), video(102)], matrices=True)
    stub = RewardServiceStub(connect(server))
    *items, last = [event async for event in stub.ScoreGroup(to_proto(request))]
    assert all(event.WhichOneof("event") == "item" for event in items)
    assert sorted(event.item.index for event in items) == [0, 1, 2]
    assert sorted((event.item for event in items), key=lambda item: item.index) == list(last.group.items)
    assert [item.WhichOneof("outcome") for item in last.group.items] == ["scored", "error", "scored"]
    assert last.group.items[1].error.code == "scoring_failed"
    assert not last.group.win.rows[0].cells[1].HasField("p")
    assert last.group.win.rows[2].cells[0].p > 0.5


async def test_chunks_of_any_size_are_the_request(server, connect, score_request):
    body = score_request.SerializeToString()
    stub = RewardServiceStub(connect(server))
    for size in (1, 100, len(body)):
        parts = [pb2.Chunk(data=body[at : at + size]) for at in range(0, len(body), size)]
        assert (await stub.ScoreChunked(iter(parts))).reward == 0.2


@pytest.mark.parametrize(
    "body",
    [b"\xff" * 64, b"\x80\x04\x95.", b"", b"\xf8\x07\x01", b"\x0a\xff\xff\xff\xff\x7f", b"\x0b" * 500],
    ids=["ones", "pickle", "empty", "unknown field", "length past the end", "nested groups"],
)
@pytest.mark.parametrize("method", METHODS[:-1], ids=lambda method: method.name)
async def test_bytes_that_are_no_request_are_invalid_and_not_logged(server, connect, caplog, method, body):
    channel = connect(server)
    if method.streams:
        call = channel.unary_stream(method.path)(body)
        await failure(call.read())
        code, error = call.code(), from_details(dict(await call.trailing_metadata())[DETAILS_KEY])
        code = await code
    else:
        code, error = await failure(channel.unary_unary(method.path)(body))
    assert (code, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    chunk = b"\x0a\x01\xff"
    multicallable = channel.stream_stream if method.streams else channel.stream_unary
    call = multicallable(method.chunked_path)(iter([chunk, b"\xff\xff"]))
    code, error = await failure(call.read() if method.streams else call)
    assert (code, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert not caplog.records


async def test_calls_are_counted_by_method_and_status(server, connect, score_request):
    stub = RewardServiceStub(connect(server))
    await stub.Score(score_request)
    await failure(stub.Score(pb2.ScoreRequest()))
    # a call is counted after its status was sent
    await until(lambda: counted(server, "request_seconds_count", route=f"/{SERVICE}/Score") == 2)
    for status in ("OK", "INVALID_ARGUMENT"):
        assert counted(server, "requests_total", route=f"/{SERVICE}/Score", status=status) == 1
    assert counted(server, "errors_total", code="invalid_request") == 1


async def test_a_whole_stream_is_counted_as_ok(server):
    frames_THWC = np.full((6, 8, 8, 3), 51, np.uint8)
    client = GrpcRewardClient(f"grpc://{server.address}")
    for _ in range(5):
        await client.score_group([frames_THWC[0]], [frames_THWC, frames_THWC[:5]], fps=8)
    await client.close()
    await until(lambda: counted(server, "requests_total", route=f"/{SERVICE}/ScoreGroup", status="OK") == 5)


async def test_the_deadline_of_a_caller_ends_its_work(server, connect, score_request):
    scorer = blocked(server)
    started = time.monotonic()
    code, _ = await failure(RewardServiceStub(connect(server)).Score(score_request, timeout=0.3))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 8, "the call has waited for the blocked model"
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 0)
    scorer.open.set()


async def test_the_servers_own_limit_is_deadline_exceeded_with_details(start, connect, score_request):
    server = await start(request_timeout_s=0.3)
    scorer = blocked(server)
    code, error = await failure(RewardServiceStub(connect(server)).Score(score_request))
    assert (code, error.code, error.retry_after_s) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded", 1.0)
    scorer.open.set()


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_cancelled_call_releases_its_capacity(server, connect, score_request, reference, video, streams):
    scorer = blocked(server)
    stub = RewardServiceStub(connect(server))
    group = to_proto(GroupRequest(references=[reference()], videos=[video(1)]))
    call = stub.ScoreGroup(group) if streams else stub.Score(score_request)
    waiting = asyncio.ensure_future(call.read() if streams else call)
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 0)
    route = f"/{SERVICE}/{'ScoreGroup' if streams else 'Score'}"
    await until(lambda: counted(server, "requests_total", route=route, status="CANCELLED") == 1)
    scorer.open.set()


async def test_a_lost_connection_releases_its_capacity(server, connect, score_request):
    scorer = blocked(server)
    channel = connect(server)
    waiting = asyncio.ensure_future(RewardServiceStub(channel).Score(score_request))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    await channel.close()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 0)
    scorer.open.set()


async def test_an_upload_that_stalls_ends_at_the_servers_limit(start, connect):
    server = await start(request_timeout_s=0.4)

    async def stalled():
        yield pb2.Chunk(data=b"x")
        await asyncio.sleep(30)

    code, error = await failure(RewardServiceStub(connect(server)).ScoreChunked(stalled()))
    assert (code, error.code) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")
