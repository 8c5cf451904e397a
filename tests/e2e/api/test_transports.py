"""HTTP and gRPC in one queue of one server: the same batches, numbers, order and refusals."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from tests.e2e.grpc_calls import PATHS, chunked, group_request, score_request, status_and_error
from tests.e2e.hostile_inputs.files import PICKLE, Marked
from tests.support.grey_videos import grey_request, grey_video
from tests.support.metrics import is_idle, metric
from tests.support.waiting import GENEROUS_S, wait_until


@pytest.fixture
def http(slow_server):
    with httpx.Client(base_url=slow_server.url, timeout=GENEROUS_S) as client:
        yield client
        wait_until(lambda: is_idle(slow_server.url), "nothing waits")


@pytest.fixture
def channel(slow_server):
    with grpc.insecure_channel(slow_server.grpc_target) as channel:
        yield channel


@pytest.fixture
def stub(channel) -> RewardServiceStub:
    return RewardServiceStub(channel)


def wait_prepared(server, count: int) -> None:
    """Wait until so many videos more than before the gate closed are ready for their batch."""
    wait_until(lambda: server.gate.preprocessed_since_closed >= count, f"{count} videos are prepared")


def test_one_batch_holds_calls_of_both_transports(slow_server, http, stub):
    names = ("batch_fill_ratio_count", "batch_requests_total", "batch_tokens_total")
    before = [metric(slow_server.url, name) for name in names]
    with ThreadPoolExecutor(5) as pool:
        with slow_server.gate.closed():
            first = pool.submit(http.post, "/v1/score", json=grey_request(50))
            slow_server.gate.wait_for_batch()
            over_grpc = [pool.submit(stub.Score, score_request(40, n)) for n in range(2)]
            over_http = [pool.submit(http.post, "/v1/score", json=grey_request(40, n)) for n in range(2)]
            wait_prepared(slow_server, 5)
        assert first.result().json()["reward"] == 50
        rewards = [call.result().reward for call in over_grpc]
        rewards += [call.result().json()["reward"] for call in over_http]
    assert rewards == [40] * 4
    batches, requests, tokens = (metric(slow_server.url, name) - old for name, old in zip(names, before, strict=True))
    assert (batches, requests, tokens) == (3, 5, 500), "one alone, then twice two"


def test_a_pair_over_both_transports_is_one_batch(slow_server, http, stub):
    before = metric(slow_server.url, "batch_fill_ratio_count")
    with ThreadPoolExecutor(3) as pool:
        with slow_server.gate.closed():
            first = pool.submit(stub.Score, score_request(50))
            slow_server.gate.wait_for_batch()
            over_http = pool.submit(http.post, "/v1/score", json=grey_request(60))
            over_grpc = pool.submit(stub.Score, score_request(60))
            wait_prepared(slow_server, 3)
        assert (over_http.result().json()["reward"], over_grpc.result().reward) == (60, 60)
        first.result()
    assert metric(slow_server.url, "batch_fill_ratio_count") - before == 2


# fills a batch
FULL_BATCH = {"references": grey_request(0)["references"], "videos": [grey_video(50), grey_video(51)]}


@pytest.mark.parametrize("rollout", ["http", "grpc"])
def test_rollouts_overtake_bulk_on_the_other_transport(slow_server, http, stub, rollout):
    finished: list[str] = []

    def over_http(level: int, priority: str) -> float:
        answer = http.post("/v1/score", json=grey_request(level), headers={"X-Priority": priority})
        finished.append(priority)
        return answer.json()["reward"]

    def over_grpc(level: int, priority: str) -> float:
        answer = stub.Score(score_request(level), metadata=(("x-priority", priority),))
        finished.append(priority)
        return answer.reward

    first, second = (over_grpc, over_http) if rollout == "http" else (over_http, over_grpc)
    gate = slow_server.gate
    with ThreadPoolExecutor(7) as pool, gate.closed():
        full = pool.submit(http.post, "/v1/groups", json=FULL_BATCH, headers={"X-Priority": "bulk"})
        gate.wait_for_batch()
        bulk = [pool.submit(first, level, "bulk") for level in (150, 151)]
        wait_prepared(slow_server, 4)
        urgent = pool.submit(second, 2, "rollout")
        wait_prepared(slow_server, 5)
        gate.let_pass(2)  # the full batch, and the one after it
        assert urgent.result() == 2
        assert finished.count("bulk") <= 1, "only the one that shares its batch"
        gate.open()
        assert [call.result() for call in bulk] == [150, 151]
        assert full.result().status_code == 200


def test_every_answer_over_grpc_is_a_reward_or_says_when_to_retry(http, stub):
    def ask(number: int):
        try:
            if number % 4 == 3:
                *_, last = stub.ScoreGroup(group_request(30, 31))
                return [item.scored.reward - index for index, item in enumerate(last.group.items)]
            if number % 4 == 2:
                return [stub.ScoreChunked(chunked(score_request(30, number).SerializeToString())).reward]
            return [stub.Score(score_request(30, number)).reward]
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(80)))
    refusals = [status_and_error(answer) for answer in answers if isinstance(answer, grpc.RpcError)]
    rewards = [answer for answer in answers if isinstance(answer, list)]
    assert sum(map(len, rewards)) >= 6, "three quarters of the capacity are for calls of this class"
    assert {reward for answer in rewards for reward in answer} == {30}
    assert refusals
    for status, error in refusals:
        assert (status, error.code, error.retryable) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", True)
        assert error.retry_after_s >= 1


def test_no_grpc_method_runs_a_pickle(http, channel, stub):
    """As the message, as what chunks hold, as metadata and as every kind of media; health and reflection too."""
    metadata = (("x-pickle-bin", PICKLE), ("traceparent-bin", PICKLE))
    others = ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
    for path in [*PATHS, *others]:
        for body in (PICKLE, pb2.Chunk(data=PICKLE).SerializeToString()):
            call = channel.stream_stream(path)(iter([body]), metadata=metadata, timeout=GENEROUS_S)
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
            if path not in others:  # where gRPC itself reads the message
                status, error = status_and_error(caught.value)
                assert (status, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request"), path
    image = pb2.Image(data=PICKLE)
    for video in (
        pb2.Video(data=PICKLE),
        pb2.Video(images=pb2.Pictures(images=[image]), fps=8),
        pb2.Video(frames=pb2.Pixels(shape=[1, 1, len(PICKLE) // 3, 3], data=PICKLE, dtype="object"), fps=8),
    ):
        for request in (score_request(1), pb2.ScoreRequest(pictures=pb2.Pictures(images=[image]))):
            request.video.CopyFrom(video)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Score(request)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    assert stub.Score(score_request(1)).reward == 1
    assert not os.path.exists(Marked.path)
