"""Metadata, deadlines and errors of calls."""

import asyncio
import time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from identity_reward_client.messages import ScoreRequest
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.proto.status import DETAILS_KEY
from tests.service.grpc.conftest import blocked, counted, failure
from tests.support.waiting import until


@pytest.mark.parametrize(
    "metadata", [("x-priority", "urgent"), ("idempotency-key", "a b"), ("idempotency-key", "x" * 201)], ids=str
)
async def test_invalid_metadata_is_refused(server, connect, score_request, metadata):
    code, error = await failure(RewardServiceStub(connect(server)).Score(score_request, metadata=(metadata,)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert metadata[0] in error.message.lower()


async def test_metadata_peer_and_deadline_reach_the_engine(server, connect, score_request, monkeypatch):
    seen = []
    score = server.engine.score

    async def spy(request, call):
        seen.append(call)
        return await score(request, call)

    monkeypatch.setattr(server.engine, "score", spy)
    stub = RewardServiceStub(connect(server))
    metadata = (("x-priority", "rollout"), ("idempotency-key", "abc"))
    await stub.Score(score_request, timeout=7, metadata=metadata)
    await stub.Score(score_request)
    assert (seen[0].client, seen[0].priority, seen[0].idempotency_key) == ("127.0.0.1", "rollout", "abc")
    assert 0 < seen[0].deadline - time.monotonic() < 7.1
    assert (seen[1].priority, seen[1].idempotency_key) == ("interactive", None)
    assert 7 < seen[1].deadline - time.monotonic() <= server.engine.settings.requests.request_timeout_s


async def test_overload_carries_error_info_and_retry_info(start, connect, reference, video):
    server = await start(max_waiting_tokens=1, max_group_videos=1)
    scorer = blocked(server)
    stub = RewardServiceStub(connect(server))
    first = asyncio.ensure_future(stub.Score(to_proto(ScoreRequest(references=[reference()], video=video(1)))))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Score(to_proto(ScoreRequest(references=[reference()], video=video(2))))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())[DETAILS_KEY])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("overloaded", "identity_reward.v1")
    assert retry.retry_delay.seconds >= 1
    scorer.open.set()
    assert (await first).HasField("reward")
