"""Authentication and the limit of running calls, in front of every method."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from identity_reward_client.errors import Unauthenticated
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.proto.methods import METHODS
from service.auth import tokens
from service.auth.authenticator import Authenticator
from service.grpc.interceptors import by_token
from tests.service.grpc.conftest import blocked, counted, failure
from tests.support.waiting import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def test_an_unknown_method_is_unimplemented_and_counted_as_other(server, connect):
    assert (await failure(connect(server).unary_unary("/made.up/Method")(b"")))[0] == grpc.StatusCode.UNIMPLEMENTED
    assert counted(server, "requests_total", route="other", status="UNIMPLEMENTED") == 1


async def test_calls_over_the_limit_are_refused(start, connect, score_request):
    server = await start(grpc_max_calls=1)
    scorer = blocked(server)
    stub = RewardServiceStub(connect(server))
    first = asyncio.ensure_future(stub.Score(score_request))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)

    upload = [pb2.Chunk(data=bytes(1 << 20))] * 20
    for call in (stub.Score(score_request), stub.ScoreChunked(iter(upload))):
        code, error = await failure(call)
        assert (code, error.code, error.retry_after_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", 1.0)
    health = health_pb2_grpc.HealthStub(connect(server))
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
    scorer.open.set()
    await first


def record_clients(server, monkeypatch) -> list[str]:
    """The clients whose calls reach the engine, in order."""
    clients = []
    score = server.engine.score

    async def spy(request, call):
        clients.append(call.client)
        return await score(request, call)

    monkeypatch.setattr(server.engine, "score", spy)
    return clients


async def test_every_method_authenticates_health_and_reflection_too(start, connect, score_request, monkeypatch):
    def authenticate(path, metadata):
        if metadata.get("authorization") != "Bearer secret":
            raise Unauthenticated("say who you are")
        return "trainer-7"

    server = await start(authenticate)
    channel = connect(server)
    paths = [path for method in METHODS for path in (method.path, method.chunked_path)]
    paths += ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/a/B"]
    for path in paths:
        code, error = await failure(channel.unary_unary(path)(b""))
        assert (code, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"), path
    seen = record_clients(server, monkeypatch)
    metadata = (("authorization", "Bearer secret"),)
    assert (await RewardServiceStub(channel).Score(score_request, metadata=metadata)).reward == 0.2
    assert seen == ["trainer-7"]


@pytest.mark.parametrize("open_probes", [False, True], ids=["closed", "open"])
async def test_every_method_needs_a_token_and_health_does_not_with_open_probes(
    start, connect, score_request, tmp_path, monkeypatch, open_probes
):
    token = tokens.create(tmp_path / "tokens", "trainer-7", "score")
    server = await start(by_token(Authenticator(tmp_path / "tokens"), open_probes))
    channel = connect(server)
    check = health_pb2_grpc.HealthStub(channel).Check
    if open_probes:
        assert (await check(health_pb2.HealthCheckRequest())).status == SERVING
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watched.read()).status == SERVING
        watched.cancel()
    else:
        code, error = await failure(check(health_pb2.HealthCheckRequest()))
        assert (code, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
    paths = [path for method in METHODS for path in (method.path, method.chunked_path)]
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for path in (*paths, reflection, "/grpc.healthy/Check", "/a/B"):
        code, error = await failure(channel.unary_unary(path)(b""))
        assert (code, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"), path
    seen = record_clients(server, monkeypatch)
    metadata = (("authorization", f"Bearer {token}"),)
    assert (await RewardServiceStub(channel).Score(score_request, metadata=metadata)).reward == 0.2
    assert seen == ["trainer-7"], "the token's name is the client"
    assert (await check(health_pb2.HealthCheckRequest(), metadata=metadata)).status == SERVING


async def test_authentication_that_crashes_refuses_the_call(start, connect, score_request):
    def crash(path, metadata):
        raise KeyError("a secret")

    code, error = await failure(RewardServiceStub(connect(await start(crash))).Score(score_request))
    assert (code, error.code) == (grpc.StatusCode.INTERNAL, "internal")
    assert "secret" not in error.message
