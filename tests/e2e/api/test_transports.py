"""HTTP and gRPC in one queue of one server: the same batches, the same numbers, the same order, the same refusals."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from tests.e2e.conftest import grey, grey_body
from tests.e2e.grpc_calls import PATHS, chunked, free, group, metric, refused, score, until
from tests.e2e.hostile_inputs.files import PICKLE, Marked


@pytest.fixture
def http(both):
    with httpx.Client(base_url=both.url, timeout=30) as client:
        yield client
        until(lambda: free(both.url), "something still waits")


@pytest.fixture
def channel(both):
    with grpc.insecure_channel(both.grpc_target) as channel:
        yield channel


@pytest.fixture
def stub(channel) -> RewardServiceStub:
    return RewardServiceStub(channel)


def test_one_batch_holds_calls_of_both(both, http, stub):
    names = ("batch_fill_ratio_count", "batch_requests_total", "batch_tokens_total")
    before = [metric(both.url, name) for name in names]
    with ThreadPoolExecutor(5) as pool:
        busy = pool.submit(http.post, "/v1/score", json=grey_body(250))
        until(lambda: metric(both.url, "waiting_tokens") == 100, "the first one is let in")
        over_grpc = [pool.submit(stub.Score, score(40, n)) for n in range(2)]
        until(lambda: metric(both.url, "waiting_tokens") == 300, "they wait")
        over_http = [pool.submit(http.post, "/v1/score", json=grey_body(40, n)) for n in range(2)]
        assert busy.result().json()["reward"] == 250
        rewards = [one.result().reward for one in over_grpc] + [one.result().json()["reward"] for one in over_http]
    assert rewards == [40] * 4
    batches, requests, tokens = (metric(both.url, name) - old for name, old in zip(names, before, strict=True))
    assert (batches, requests, tokens) == (3, 5, 500), "one alone, then twice two"


def test_a_pair_over_both_in_one_batch(both, http, stub):
    """One of each in the second batch: no other has room in it."""
    before = metric(both.url, "batch_fill_ratio_count")
    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(stub.Score, score(250))
        until(lambda: metric(both.url, "waiting_tokens") == 100, "the first one is let in")
        over_http = pool.submit(http.post, "/v1/score", json=grey_body(60))
        over_grpc = pool.submit(stub.Score, score(60))
        assert (over_http.result().json()["reward"], over_grpc.result().reward) == (60, 60)
        busy.result()
    assert metric(both.url, "batch_fill_ratio_count") - before == 2


# half a second of a whole batch
PLUG = {"references": grey_body(0)["references"], "videos": [grey(250), grey(251)]}


@pytest.mark.parametrize("rollout", ["http", "grpc"])
def test_rollouts_overtake_bulk_on_the_other_transport(both, http, stub, rollout):
    done: list[str] = []

    def over_http(level: int, priority: str) -> float:
        answer = http.post("/v1/score", json=grey_body(level), headers={"X-Priority": priority})
        done.append(priority)
        return answer.json()["reward"]

    def over_grpc(level: int, priority: str) -> float:
        answer = stub.Score(score(level), metadata=(("x-priority", priority),))
        done.append(priority)
        return answer.reward

    first, second = (over_grpc, over_http) if rollout == "http" else (over_http, over_grpc)
    with ThreadPoolExecutor(7) as pool:
        plug = pool.submit(http.post, "/v1/groups", json=PLUG, headers={"X-Priority": "bulk"})
        until(lambda: metric(both.url, "waiting_tokens") == 200, "the model is busy")
        bulk = [pool.submit(first, level, "bulk") for level in (150, 151)]
        until(lambda: metric(both.url, "waiting_tokens") == 400, "they are let in")
        assert pool.submit(second, 2, "rollout").result() == 2
        assert done.count("bulk") <= 1, "only the one that shares its batch"
        assert [one.result() for one in bulk] == [150, 151]
        assert plug.result().status_code == 200


def test_over_grpc_every_answer_is_a_reward_or_says_when_to_come_again(http, stub):
    def ask(number: int):
        try:
            if number % 4 == 3:
                *_, last = stub.ScoreGroup(group(30, 31))
                return [item.scored.reward - place for place, item in enumerate(last.group.items)]
            if number % 4 == 2:
                return [stub.ScoreChunked(chunked(score(30, number).SerializeToString())).reward]
            return [stub.Score(score(30, number)).reward]
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(80)))
    refusals = [refused(answer) for answer in answers if isinstance(answer, grpc.RpcError)]
    rewards = [answer for answer in answers if isinstance(answer, list)]
    assert sum(map(len, rewards)) >= 6, "three quarters of the room are for calls of this class"
    assert {reward for answer in rewards for reward in answer} == {30}
    assert refusals
    for status, error in refusals:
        assert (status, error.code, error.retryable) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", True)
        assert error.retry_after_s >= 1


def test_no_method_of_grpc_runs_a_pickle(http, channel, stub):
    """As the message, as what chunks hold, as metadata and as every kind of media; health and reflection too."""
    metadata = (("x-pickle-bin", PICKLE), ("traceparent-bin", PICKLE))
    others = ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
    for path in [*PATHS, *others]:
        for body in (PICKLE, pb2.Chunk(data=PICKLE).SerializeToString()):
            call = channel.stream_stream(path)(iter([body]), metadata=metadata, timeout=5)
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
            if path not in others:  # where gRPC itself reads the message
                status, error = refused(caught.value)
                assert (status, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request"), path
    picture = pb2.Image(data=PICKLE)
    for video in (
        pb2.Video(data=PICKLE),
        pb2.Video(images=pb2.Pictures(images=[picture]), fps=8),
        pb2.Video(frames=pb2.Pixels(shape=[1, 1, len(PICKLE) // 3, 3], data=PICKLE, dtype="object"), fps=8),
    ):
        for request in (score(1), pb2.ScoreRequest(pictures=pb2.Pictures(images=[picture]))):
            request.video.CopyFrom(video)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Score(request)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    assert stub.Score(score(1)).reward == 1
    assert not os.path.exists(Marked.path)
