"""The gRPC server on a port, around a real engine, called by plain gRPC and by stubs that were generated."""

import asyncio
import re
import time

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from identity_reward_client.errors import InternalError, RewardError, Unauthenticated
from identity_reward_client.messages import GroupRequest, ReferenceSet, ScoreRequest
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.proto.methods import METHODS, SERVICE
from identity_reward_client.proto.status import DETAILS_KEY, from_details
from identity_reward_client.transports.grpc import GrpcRewardClient
from service.auth import tokens
from service.auth.authenticator import Authenticator
from service.grpc.interceptors import anyone, by_token
from service.grpc.server import GrpcServer
from tests.service.flat_settings import flat_settings

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def start(make_engine):
    """Starts an engine and a server around it; answers the server with its engine, metrics and address."""
    made = []

    async def started(authenticate=anyone, **settings) -> GrpcServer:
        engine = make_engine(grpc_port=0, **settings)
        server = GrpcServer(engine, engine.settings, engine.metrics, authenticate)
        made.append(server)
        server.engine, server.address = engine, await server.start()
        return server

    yield started
    for server in made:
        await server.stop()


@pytest.fixture
async def server(start) -> GrpcServer:
    return await start()


@pytest.fixture
async def connect():
    made = []

    def connected(server, **options) -> grpc.aio.Channel:
        made.append(grpc.aio.insecure_channel(server.address, list(options.items())))
        return made[-1]

    yield connected
    for channel in made:
        await channel.close()


@pytest.fixture
def score_request(reference, video):
    return to_proto(ScoreRequest(references=[reference()], video=video(51)))


def blocked(server):
    """The scorer, whose forward waits until its `open` is set."""
    scorer = server.engine._models.find(None).scorer
    scorer.open.clear()
    return scorer


def counted(server, name: str, **labels) -> float:
    return server.engine.metrics.registry.get_sample_value(f"identity_reward_{name}", labels) or 0.0


async def until(true, timeout_s: float = 5.0):
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "did not happen"
        await asyncio.sleep(0.01)


async def failure(call) -> tuple[grpc.StatusCode, RewardError | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told = dict(caught.value.trailing_metadata() or ()).get(DETAILS_KEY)
    return caught.value.code(), None if told is None else from_details(told)


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


async def test_a_group_streams_each_item_once_and_the_whole_answer_last(server, connect, reference, video):
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


async def test_health_and_reflection(server, connect):
    channel = connect(server)
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE, "model/brightness"):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    assert await failure(health.Check(health_pb2.HealthCheckRequest(service="model/nope"))) == (
        grpc.StatusCode.NOT_FOUND, None,
    )  # fmt: skip
    ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in ask(iter([asked])):
        named = {service.name for service in answer.list_services_response.service}
    assert named == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    async for answer in ask(iter([asked])):
        assert answer.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize(
    "body",
    [b"\xff" * 64, b"\x80\x04\x95.", b"", b"\xf8\x07\x01", b"\x0a\xff\xff\xff\xff\x7f", b"\x0b" * 500],
    ids=["ones", "pickle", "empty", "unknown field", "length past the end", "nested groups"],
)
@pytest.mark.parametrize("method", METHODS[:-1], ids=lambda method: method.name)
async def test_bytes_that_are_no_request_are_invalid_and_nothing_is_logged(server, connect, caplog, method, body):
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
    kind = channel.stream_stream if method.streams else channel.stream_unary
    call = kind(method.chunked_path)(iter([chunk, b"\xff\xff"]))
    code, error = await failure(call.read() if method.streams else call)
    assert (code, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert not caplog.records


async def test_an_unknown_method_is_unimplemented_and_counted_as_other(server, connect):
    assert (await failure(connect(server).unary_unary("/made.up/Method")(b"")))[0] == grpc.StatusCode.UNIMPLEMENTED
    assert counted(server, "requests_total", route="other", status="UNIMPLEMENTED") == 1


async def test_calls_are_counted_by_method_and_status(server, connect, score_request):
    stub = RewardServiceStub(connect(server))
    await stub.Score(score_request)
    await failure(stub.Score(pb2.ScoreRequest()))
    for status in ("OK", "INVALID_ARGUMENT"):
        assert counted(server, "requests_total", route=f"/{SERVICE}/Score", status=status) == 1
    assert counted(server, "errors_total", code="invalid_request") == 1
    assert counted(server, "request_seconds_count", route=f"/{SERVICE}/Score") == 2


async def test_a_group_that_the_client_has_whole_is_counted_as_answered(server):
    frames_THWC = np.full((6, 8, 8, 3), 51, np.uint8)
    client = GrpcRewardClient(f"grpc://{server.address}")
    for _ in range(5):
        await client.score_group([frames_THWC[0]], [frames_THWC, frames_THWC[:5]], fps=8)
    await client.close()
    assert counted(server, "requests_total", route=f"/{SERVICE}/ScoreGroup", status="OK") == 5


@pytest.mark.parametrize(
    "metadata", [("x-priority", "urgent"), ("idempotency-key", "a b"), ("idempotency-key", "x" * 201)], ids=str
)
async def test_metadata_that_makes_no_sense_is_refused(server, connect, score_request, metadata):
    code, error = await failure(RewardServiceStub(connect(server)).Score(score_request, metadata=(metadata,)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert metadata[0] in error.message.lower()


async def test_a_call_carries_its_metadata_peer_and_deadline_to_the_engine(server, connect, score_request, monkeypatch):
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


async def test_a_callers_deadline_frees_its_place(server, connect, score_request):
    scorer = blocked(server)
    started = time.monotonic()
    code, _ = await failure(RewardServiceStub(connect(server)).Score(score_request, timeout=0.3))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 2
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 0)
    scorer.open.set()


async def test_the_servers_own_limit_is_deadline_exceeded_with_details(start, connect, score_request):
    server = await start(request_timeout_s=0.3)
    scorer = blocked(server)
    code, error = await failure(RewardServiceStub(connect(server)).Score(score_request))
    assert (code, error.code, error.retry_after_s) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded", 1.0)
    scorer.open.set()


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_caller_that_cancels_frees_its_place(server, connect, score_request, reference, video, streams):
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


async def test_a_caller_whose_connection_vanishes_frees_its_place(server, connect, score_request):
    scorer = blocked(server)
    channel = connect(server)
    waiting = asyncio.ensure_future(RewardServiceStub(channel).Score(score_request))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    await channel.close()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 0)
    scorer.open.set()


async def test_an_upload_that_stops_ends_at_the_servers_limit(start, connect):
    server = await start(request_timeout_s=0.4)

    async def stuck():
        yield pb2.Chunk(data=b"x")
        await asyncio.sleep(30)

    code, error = await failure(RewardServiceStub(connect(server)).ScoreChunked(stuck()))
    assert (code, error.code) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")


async def test_overload_says_when_to_come_again_in_the_standard_way(start, connect, reference, video):
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
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

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
        thread.join(10)


async def test_more_calls_than_are_taken_are_refused(start, connect, score_request):
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


async def test_messages_over_the_limit(start, connect, reference, video):
    server = await start(max_body_bytes=3 << 20)
    big = np.zeros((4 << 20,), np.uint8).tobytes()
    request = pb2.ScoreRequest(reference_set_id="sha256:" + "0" * 64, video=pb2.Video(data=big))
    channel = connect(server, **{"grpc.max_send_message_length": -1})
    code, error = await failure(RewardServiceStub(channel).Score(request))
    assert (code, error) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)  # gRPC's own, before it reaches us
    body = request.SerializeToString()
    parts = [pb2.Chunk(data=body[at : at + 65536]) for at in range(0, len(body), 65536)]
    for _ in range(10):  # an upload that is refused on its way is told why, each time
        code, error = await failure(RewardServiceStub(channel).ScoreChunked(iter(parts)))
        assert (code, error.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "payload_too_large")
    assert error.details == {"limit": "max_body_bytes", "maximum": 3 << 20}
    assert not error.retryable


async def test_draining_refuses_new_calls_and_finishes_those_under_way(server, connect, score_request):
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
    await asyncio.wait_for(draining, 5)
    await server.stop()
    assert (await failure(stub.Score(score_request)))[0] == grpc.StatusCode.UNAVAILABLE


async def test_a_drain_gives_up_waiting_after_its_grace(server, connect, score_request):
    scorer = blocked(server)
    running = asyncio.ensure_future(RewardServiceStub(connect(server)).Score(score_request))
    await until(lambda: counted(server, "waiting_tokens", model="brightness", priority="interactive") == 1)
    started = time.monotonic()
    await server.begin_drain(0.2)
    assert 0.2 <= time.monotonic() - started < 2
    code, error = await failure(running)
    assert (code, error.code, error.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, "not_ready", 5.0)
    await server.stop()
    scorer.open.set()


async def test_every_method_asks_who_calls_health_and_reflection_too(start, connect, score_request, monkeypatch):
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
    seen = []
    score = server.engine.score

    async def spy(request, call):
        seen.append(call.client)
        return await score(request, call)

    monkeypatch.setattr(server.engine, "score", spy)
    known = (("authorization", "Bearer secret"),)
    assert (await RewardServiceStub(channel).Score(score_request, metadata=known)).reward == 0.2
    assert seen == ["trainer-7"]


@pytest.mark.parametrize("open_probes", [False, True], ids=["closed", "open"])
async def test_tokens_of_the_file_open_every_method_and_open_probes_health_alone(
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
    reflects = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for path in (*paths, reflects, "/grpc.healthy/Check", "/a/B"):
        code, error = await failure(channel.unary_unary(path)(b""))
        assert (code, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"), path
    seen = []
    score = server.engine.score

    async def spy(request, call):
        seen.append(call.client)
        return await score(request, call)

    monkeypatch.setattr(server.engine, "score", spy)
    known = (("authorization", f"Bearer {token}"),)
    assert (await RewardServiceStub(channel).Score(score_request, metadata=known)).reward == 0.2
    assert seen == ["trainer-7"], "whose share of the server it is"
    assert (await check(health_pb2.HealthCheckRequest(), metadata=known)).status == SERVING


async def test_a_check_that_crashes_lets_nobody_in(start, connect, score_request):
    def broken(path, metadata):
        raise KeyError("a secret")

    code, error = await failure(RewardServiceStub(connect(await start(broken))).Score(score_request))
    assert (code, error.code) == (grpc.StatusCode.INTERNAL, "internal")
    assert "secret" not in error.message


async def test_a_connection_that_stays_silent_is_dropped(start):
    """A peer that speaks HTTP/2 and then answers no ping any more."""
    server = await start(grpc_keepalive_s=1)
    host, port = server.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    await writer.drain()

    async def to_the_end():
        while await reader.read(1 << 16):
            pass

    started = time.monotonic()
    await asyncio.wait_for(to_the_end(), 10)
    assert time.monotonic() - started > 0.9
    writer.close()


async def test_frequent_pings_of_a_client_are_no_offence(start, connect, score_request):
    server = await start(grpc_keepalive_s=1)
    pings = {"grpc.keepalive_time_ms": 1000, "grpc.http2.max_pings_without_data": 0}
    channel = connect(server, **pings, **{"grpc.keepalive_permit_without_calls": 1})
    stub = RewardServiceStub(channel)
    await stub.Score(score_request)
    await asyncio.sleep(2.5)
    assert channel.get_state() == grpc.ChannelConnectivity.READY
    assert (await stub.Score(score_request)).reward == 0.2


async def test_a_port_that_is_taken_says_so(server, make_engine):
    port = int(server.address.rsplit(":", 1)[1])
    engine = make_engine(grpc_port=port)
    second = GrpcServer(engine, engine.settings, engine.metrics)
    with pytest.raises(InternalError, match=f"can't listen for gRPC on 127.0.0.1:{port}"):
        await second.start()
