"""gRPC through the shipped nginx configuration, to two running replicas."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from identity_reward_client.errors import Overloaded, PayloadTooLarge, RewardError
from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from tests.support.ports import free_port

from .conftest import MAX_BODY_BYTES, Proxy
from .test_nginx import CLIP, ONCE, people


@pytest.fixture
def client(proxy):
    with SyncRewardClient(GrpcRewardClient(proxy.grpc, retry=ONCE)) as client:
        yield client


def scored(replicas) -> list[float]:
    return [replica.count('identity_reward_items_total{model="tiny",outcome="scored"}') for replica in replicas]


def grey(level: int, nonce: int) -> np.ndarray:
    frames = np.full((1, 16, 16, 3), level, np.uint8)
    frames[0, 0, nonce % 16, nonce // 16] += 1
    return frames


def test_equal_references_go_to_one_replica_and_others_to_the_other(client, replicas):
    before = scored(replicas)
    for shift in range(4):
        answer = client.score_group(people(70), [CLIP + np.uint8(shift), CLIP], fps=8, model="tiny")
        assert all(item.scored for item in answer.items)
    assert sorted(now - then for now, then in zip(scored(replicas), before, strict=True)) == [0, 8]
    before = scored(replicas)
    for number in range(16):
        client.score(people(number), CLIP, fps=8, model="tiny")
    assert min(now - then for now, then in zip(scored(replicas), before, strict=True)) >= 2


def test_reference_sets_are_found_where_they_were_stored(client):
    for number in range(100, 108):
        set_id = client.put_references(people(number))
        assert client.score(set_id, CLIP, fps=8, model="tiny").reward


def test_a_refusal_comes_with_its_retry_delay(client):
    def ask(number: int):
        try:
            return client.score(people(1), grey(60, number), fps=8, model="slow")
        except RewardError as error:
            return error

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(24)))
    refused = [answer for answer in answers if isinstance(answer, RewardError)]
    assert 4 <= len(refused) < 24
    assert all(isinstance(error, Overloaded) and error.retry_after_s >= 1 for error in refused)


def test_large_requests_pass_and_larger_ones_are_refused_by_the_service(client):
    frames = np.zeros((1, 640, 640, 3), np.uint8)
    assert client.score_group(people(1), [frames] * 2, fps=8, model="slow").items[1].scored
    for _ in range(6):
        with pytest.raises(PayloadTooLarge):
            client.score_group(people(1), [frames] * (MAX_BODY_BYTES // frames.nbytes + 1), fps=8, model="slow")
    assert client.score(people(1), frames, fps=8, model="slow").reward == 0, "refusals don't count as failures"


def test_health_is_asked_for_by_its_own_service(proxy):
    with grpc.insecure_channel(proxy.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_callers_may_retry_when_no_replica_answers(tmp_path):
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    proxy = Proxy(tmp_path, nobody, nobody)
    try:
        with grpc.insecure_channel(proxy.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "no replica answers")
        patient = RetryPolicy(max_attempts=2, base_s=0.01)
        with SyncRewardClient(GrpcRewardClient(proxy.grpc, retry=patient)) as client, pytest.raises(RewardError) as why:
            client.score(people(1), CLIP, fps=8)
        assert why.value.retryable
    finally:
        proxy.end()
