"""The gRPC server on a port: health, reflection, draining, limits of connections."""

import asyncio
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from identity_reward_client.errors import InternalError
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.proto.methods import SERVICE
from identity_reward_client.proto.status import from_details
from service.grpc.server import GrpcServer
from tests.service.flat_settings import flat_settings
from tests.service.grpc.conftest import blocked, counted, failure
from tests.support.waiting import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_and_reflection_describe_the_service(server, connect):
    channel = connect(server)
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE, "model/brightness"):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    assert await failure(health.Check(health_pb2.HealthCheckRequest(service="model/nope"))) == (
        grpc.StatusCode.NOT_FOUND, None,
    )  # fmt: skip
    reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in reflect(iter([request])):
        names = {service.name for service in answer.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    async for answer in reflect(iter([request])):
        assert answer.file_descriptor_response.file_descriptor_proto


async def test_messages_over_the_limit_are_refused(start, connect, reference, video):
    server = await start(max_body_bytes=3 << 20)
    big = np.zeros((4 << 20,), np.uint8).tobytes()
    request = pb2.ScoreRequest(reference_set_id="sha256:" + "0" * 64, video=pb2.Video(data=big))
    channel = connect(server, **{"grpc.max_send_message_length": -1})
    code, error = await failure(RewardServiceStub(channel).Score(request))
    assert (code, error) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)  # by gRPC itself, before a method sees it
    body = request.SerializeToString()
    parts = [pb2.Chunk(data=body[at : at + 65536]) for at in range(0, len(body), 65536)]
    for _ in range(10):  # an upload that is refused midway gets the error, every time
        code, error = await failure(RewardServiceStub(channel).ScoreChunked(iter(parts)))
        assert (code, error.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "payload_too_large")
    assert error.details == {"limit": "max_body_bytes", "maximum": 3 << 20}
    assert not error.retryable


async def test_a_drain_refuses_new_calls_and_finishes_running_ones(server, connect, score_request):
    scorer = blocked(server)
    channel = connect(server)
    stub, health = RewardServiceStub(channel), health_pb2_grpc.HealthStub(channel)
    watched = health.Watch(health_pb2.HealthCheckRequest(service="model/brightness"))
    assert (await watched.read()).status == SERVING
    running = asyncio.ensure_future(stub.Score(score_request))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    draining = asyncio.ensure_future(server.begin_drain(10))
    assert (await watched.read()).status == NOT_SERVING
    watched.cancel()
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
    code, error = await failure(stub.Score(score_request))
    assert (code, error.code, error.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, "not_ready", 5.0)
    assert not draining.done()
    scorer.open.set()
    assert (await running).reward == 0.2
    await asyncio.wait_for(draining, 60)
    await server.stop()
    assert (await failure(stub.Score(score_request)))[0] == grpc.StatusCode.UNAVAILABLE


async def test_a_drain_ends_calls_that_outlast_its_grace(server, connect, score_request):
    scorer = blocked(server)
    running = asyncio.ensure_future(RewardServiceStub(connect(server)).Score(score_request))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    started = time.monotonic()
    await server.begin_drain(0.2)
    assert 0.2 <= time.monotonic() - started < 8, "the drain has waited for the blocked call"
    code, error = await failure(running)
    assert (code, error.code, error.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, "not_ready", 5.0)
    await server.stop()
    scorer.open.set()


async def test_a_silent_connection_is_dropped(start):
    """The peer speaks HTTP/2 and answers no ping."""
    server = await start(grpc_keepalive_s=1)
    host, port = server.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    await writer.drain()

    async def read_to_end():
        while await reader.read(1 << 16):
            pass

    started = time.monotonic()
    await asyncio.wait_for(read_to_end(), 60)
    assert time.monotonic() - started > 0.9
    writer.close()


async def test_frequent_pings_of_a_client_are_allowed(start, connect, score_request):
    server = await start(grpc_keepalive_s=1)
    pings = {"grpc.keepalive_time_ms": 1000, "grpc.http2.max_pings_without_data": 0}
    channel = connect(server, **pings, **{"grpc.keepalive_permit_without_calls": 1})
    stub = RewardServiceStub(channel)
    await stub.Score(score_request)
    await asyncio.sleep(2.5)
    assert channel.get_state() == grpc.ChannelConnectivity.READY
    assert (await stub.Score(score_request)).reward == 0.2


async def test_a_taken_port_is_an_error_that_names_it(server, make_engine):
    port = int(server.address.rsplit(":", 1)[1])
    engine = make_engine(grpc_port=port)
    second = GrpcServer(engine, engine.settings, engine.metrics)
    with pytest.raises(InternalError, match=f"can't listen for gRPC on 127.0.0.1:{port}"):
        await second.start()


def test_a_blocking_caller_reads_the_details_with_grpc_status(request):
    """The sync reader of grpcio-status, on a server in a thread with a loop of its own."""
    import threading

    from grpc_status import rpc_status

    from service.engine.engine import ScoringEngine

    engine = ScoringEngine(flat_settings(models=("brightness",), decode_workers=0, grpc_port=0))
    engine.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def open_port():
        server = GrpcServer(engine, engine.settings, engine.metrics)
        return server, await server.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    server, address = run(open_port())
    try:
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            RewardServiceStub(channel).Score(pb2.ScoreRequest(), timeout=5)
        status = rpc_status.from_call(caught.value)
        assert from_details(status.SerializeToString()).code == "invalid_request"
    finally:
        run(server.stop())
        run(engine.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
