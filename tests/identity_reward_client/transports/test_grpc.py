"""GrpcRewardClient against a real port, whose server scores with the fake client's rule and misbehaves when told to."""

import asyncio
import math
import time
from collections import deque
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from grpc_status.rpc_status import to_status as to_grpc

from identity_reward_client.base import RewardClient
from identity_reward_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    FrameIndexMismatch,
    InternalError,
    InvalidMedia,
    InvalidRequest,
    InvalidResponse,
    Overloaded,
    PayloadTooLarge,
    ReferenceSetNotFound,
    RewardError,
    Unauthenticated,
)
from identity_reward_client.fake import FakeRewardClient
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import to_references
from identity_reward_client.messages import GroupResponse, Item, ModelList, ReferenceSetResponse
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import read_request, to_bytes
from identity_reward_client.proto.methods import METHODS, SERVICE, event, read_chunk
from identity_reward_client.proto.status import to_status
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from identity_reward_client.wire.content_ids import reference_set_id

QUICK = RetryPolicy(base_s=0.01, max_delay_s=0.02)


class GrpcWire:
    """`requests` holds what came in; `script` what to answer instead, next call first (None: the true answer).

    A scripted item is an error of the tree, a bare (status, text), or events: bytes and errors after which it ends.
    """

    def __init__(self):
        self.fake = FakeRewardClient()
        self.requests = []
        self.script = deque()
        self.delay_s = 0.0
        self.cancelled = 0

    def handlers(self):
        made = {}
        for method in METHODS:
            for chunked in (False, True) if method.chunkable else (False,):
                kind = f"{'stream' if chunked else 'unary'}_{'stream' if method.streams else 'unary'}"
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                made[method.name + ("Chunked" if chunked else "")] = make(self.behaviour(method, chunked))
        return grpc.method_handlers_generic_handler(SERVICE, made)

    def behaviour(self, method, chunked):
        async def events(incoming, context):
            body = b"".join([read_chunk(part) async for part in incoming]) if chunked else incoming
            request = read_request(method.request, body)
            metadata = dict(context.invocation_metadata())
            seen = SimpleNamespace(
                name=method.name, chunked=chunked, message=request, metadata=metadata, left_s=context.time_remaining()
            )
            self.requests.append(seen)
            scripted = self.script.popleft() if self.script else None
            if isinstance(scripted, tuple):
                await context.abort(*scripted)
            try:
                await asyncio.sleep(self.delay_s)
                for one in scripted if isinstance(scripted, list) else [scripted]:
                    if isinstance(one, RewardError):
                        raise one
                    if one is not None:
                        yield one
                if scripted is None:
                    answer = await self.true_answer(method.name, request)
                    for item in reversed(answer.items) if isinstance(answer, GroupResponse) else ():
                        yield event(item)
                    yield event(answer) if method.streams else to_bytes(answer)
            except RewardError as error:
                status = to_grpc(to_status(error))
                await context.abort(status.code, status.details, status.trailing_metadata)
            except (asyncio.CancelledError, GeneratorExit):
                self.cancelled += 1
                raise

        async def single(incoming, context):
            async for answer in events(incoming, context):
                return answer

        return events if method.streams else single

    async def true_answer(self, name, asked):
        if name == "ListModels":
            return ModelList(models=await self.fake.models())
        if name == "PutReferenceSet":
            set_id = await self.fake.put_references(asked.images)
            return ReferenceSetResponse(id=set_id, num_references=len(asked.images))
        options = {"prompt": asked.prompt, "model": asked.model, "details": asked.details}
        if name == "Score":
            return await self.fake.score(asked.references, asked.video, **options)
        if name == "Compare":
            return await self.fake.compare(
                asked.references, asked.video_a, asked.video_b, theta=asked.theta, **options
            )  # fmt: skip
        extra = {"matrices": asked.matrices, "theta": asked.theta}
        return await self.fake.score_group(asked.references, asked.videos, **extra, **options)

    def names(self):
        return [request.name for request in self.requests]


@pytest.fixture
async def wire():
    wire = GrpcWire()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 5 << 20)])
    server.add_generic_rpc_handlers((wire.handlers(),))
    wire.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield wire
    await server.stop(0)


@pytest.fixture
async def client(wire):
    client = GrpcRewardClient(wire.target, retry=QUICK, timeout_s=20)
    yield client
    await client.close()


def refs(files):
    return [files / "a.jpg", files / "b.jpg"]


async def test_it_is_a_reward_client(client):
    assert isinstance(client, RewardClient)


async def test_score_compare_and_group_are_those_of_the_service(client, wire, files, clip, picture):
    direct = wire.fake
    assert (await client.score(refs(files), files / "one.mp4")).reward == (
        await direct.score(refs(files), files / "one.mp4")
    ).reward
    answer = await client.compare([picture], clip, clip + 200, fps=16, theta=1.5)
    assert (answer.verdict, answer.theta) == ("B", 1.5)
    group = await client.score_group([picture], [clip, clip + 100], fps=16, matrices=True, details=True)
    expected = await direct.score_group([picture], [clip, clip + 100], fps=16, matrices=True, details=True)
    assert (group.items, group.win, group.tie) == (expected.items, expected.win, expected.tie)
    assert wire.names() == ["Score", "ListModels", "Compare", "ScoreGroup"]
    sent = wire.requests[-1].message.videos[0]
    assert (sent.frames.shape, sent.frame_indices) == ([4, 24, 40, 3], [0, 11, 21, 32])


async def test_what_travels_beside_a_call(wire, files):
    client = GrpcRewardClient(f"grpc://{wire.target}", token="s3cret", priority="rollout", timeout_s=9, retry=QUICK)
    wire.script.extend([Overloaded("busy"), None, None])
    await client.score(refs(files), files / "one.mp4")
    await client.score(refs(files), files / "one.mp4")
    keys = [request.metadata["idempotency-key"] for request in wire.requests]
    assert keys[0] == keys[1] != keys[2]
    for request in wire.requests:
        assert (request.metadata["authorization"], request.metadata["x-priority"]) == ("Bearer s3cret", "rollout")
        assert 5 < request.left_s < 9.1
    await client.close()


async def test_calls_name_the_references_that_they_go_by(client, wire, files, picture, clip):
    set_id = await client.put_references([picture])
    await client.score([picture], files / "one.mp4")
    await client.score_group(set_id, [clip], fps=16)
    await client.compare([b"other"], files / "one.mp4", files / "two.mp4")
    named = [request.metadata.get("x-reference-set") for request in wire.requests if request.name != "ListModels"]
    own = reference_set_id(to_references([picture]))
    assert named[:3] == [own, own, set_id]
    assert named[3] not in (own, set_id, None)


async def test_a_large_request_goes_in_chunks_by_itself(client, wire, picture):
    clip = np.zeros((4, 512, 512, 3), np.uint8)
    group = await client.score_group([picture], [clip, clip, clip], fps=16)
    assert len(group.items) == 3
    big = np.zeros((1200, 1200, 3), np.uint8)
    await client.put_references([big, picture])
    await client.score([big], clip, fps=16)
    await client.compare([picture], clip, clip, fps=16)
    assert [(request.name, request.chunked) for request in wire.requests] == [
        ("ListModels", False), ("ScoreGroup", True), ("PutReferenceSet", True), ("Score", True), ("Compare", True)
    ]  # fmt: skip


async def test_overload_is_waited_out_as_long_as_retry_info_says(client, wire, files):
    wire.script.append(Overloaded("busy", retry_after_s=1.2))
    started = time.monotonic()
    await client.score(refs(files), files / "one.mp4")
    assert time.monotonic() - started >= 1.2


async def test_an_error_becomes_the_same_class(client, wire, files):
    wire.script.append(InternalError("it broke", details={"stage": "forward", "n": 2}))
    with pytest.raises(InternalError, match="it broke") as caught:
        await client.score(refs(files), files / "one.mp4")
    assert caught.value.details == {"stage": "forward", "n": 2}
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!", Overloaded),
        ("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max (9 vs. 4)", PayloadTooLarge),
        ("UNAUTHENTICATED", "who?", Unauthenticated),
        ("UNAVAILABLE", "upstream connect error", ConnectionFailed),
        ("CANCELLED", "", ConnectionFailed),
        ("UNKNOWN", "x", InvalidResponse),
        ("NOT_FOUND", "x", InvalidResponse),
    ],
)
async def test_a_status_without_our_details(wire, files, status, text, expected):
    client = GrpcRewardClient(wire.target, retry=RetryPolicy(max_attempts=1))
    wire.script.append((getattr(grpc.StatusCode, status), text))
    with pytest.raises(expected):
        await client.score(refs(files), files / "one.mp4")
    await client.close()


async def test_a_method_that_is_not_there_is_an_invalid_response(files):
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = GrpcRewardClient(f"127.0.0.1:{port}", retry=QUICK)
    with pytest.raises(InvalidResponse, match="UNIMPLEMENTED"):
        await client.models()
    await client.close()
    await server.stop(0)


async def test_nothing_listening_says_where_and_how_to_start(unused_tcp_port, files):
    client = GrpcRewardClient(f"127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(max_attempts=2, base_s=0))
    with pytest.raises(ConnectionFailed, match=rf"127.0.0.1:{unused_tcp_port}.*`identity-reward serve"):
        await client.score(refs(files), files / "one.mp4")
    await client.close()


async def test_no_answer_in_time_is_deadline_exceeded(wire, files):
    wire.delay_s = 5
    client = GrpcRewardClient(wire.target, timeout_s=0.2, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        await client.score(refs(files), files / "one.mp4")
    await client.close()


async def test_a_set_that_the_server_lost_is_sent_again_once(client, wire, files, clip):
    set_id = await client.put_references(refs(files))
    wire.fake._sets.clear()
    answer = await client.score_group(set_id, [clip], fps=16)
    assert answer.items[0].reward is not None
    assert wire.names() == ["PutReferenceSet", "ListModels", "ScoreGroup", "PutReferenceSet", "ScoreGroup"]
    with pytest.raises(ReferenceSetNotFound):
        await client.score("sha256:" + "0" * 64, files / "one.mp4")


SCORED = {"fps": 1.0, "num_source_frames": 1, "frame_indices": [0]}
STAMP = {"name": "x", "version": "1", "fingerprint": "f", "domain": "none", "frame_sampling": "u", "prompt_used": True}
COMMON = {"request_id": "1", "model": STAMP, "timing": {}}


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff",
        b"",
        pb2.ScoreResponse(request_id="1").SerializeToString(),
        pb2.ScoreResponse(
            reward=math.nan,
            fps=1,
            num_source_frames=1,
            request_id="1",
            timing=pb2.Timing(),
            model=pb2.ModelStamp(**STAMP),
        ).SerializeToString(),
    ],
    ids=["no protobuf", "empty", "half", "NaN"],
)
async def test_an_answer_that_is_not_whole_is_an_invalid_response(client, wire, files, answer):
    wire.script.append([answer])
    with pytest.raises(InvalidResponse):
        await client.score(refs(files), files / "one.mp4")


def group_events(*rewards):
    items = [Item(index=i, scored={"reward": reward, **SCORED}) for i, reward in enumerate(rewards)]
    return [*map(event, items), event(GroupResponse(**COMMON, items=items, theta=5.0))]


@pytest.mark.parametrize(
    "events",
    [group_events(1.0)[:-1], group_events(1.0, 2.0)[-1:], [b"\xff"], group_events(math.nan)],
    ids=["no last message", "two of one", "no protobuf", "NaN"],
)
async def test_a_stream_that_is_not_whole_is_an_invalid_response(client, wire, files, events):
    wire.script.append(events)
    with pytest.raises(InvalidResponse):
        await client.score_group(refs(files), [files / "one.mp4"])
    wire.script.append(events)
    with pytest.raises(InvalidResponse):
        _ = [item async for item in client.stream_group(refs(files), [files / "one.mp4"])]


async def test_items_stream_under_the_callers_indices_each_once(client, wire, clip, picture):
    videos = ["gone.mp4", clip, clip + 1, "gone.mp4", clip + 2]
    items = [item async for item in client.stream_group([picture], videos, fps=16)]
    assert [item.index for item in items] == [4, 2, 1, 0, 3]  # the wire sends its items backwards
    whole = await client.score_group([picture], videos, fps=16)
    assert sorted(items, key=lambda item: item.index) == whole.items


async def test_a_stream_that_breaks_is_asked_again_and_repeats_nothing(client, wire, files):
    videos = [files / "one.mp4", files / "two.mp4", files / "three.mp4"]
    true = await wire.fake.score_group(refs(files), videos)
    wire.script.append([event(true.items[1]), Overloaded("too much, suddenly")])
    items = [item async for item in client.stream_group(refs(files), videos)]
    assert [item.index for item in items] == [1, 2, 0]
    assert wire.names() == ["ScoreGroup", "ScoreGroup"]


async def until(true):
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline, "did not happen"
        await asyncio.sleep(0.01)


async def test_leaving_a_stream_cancels_the_call(client, wire, files):
    wire.delay_s = 30
    first = asyncio.ensure_future(anext(client.stream_group(refs(files), [files / "one.mp4"])))
    await until(lambda: wire.requests)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await until(lambda: wire.cancelled)


async def test_another_frame_sampling_on_the_server_is_noticed_in_a_stream(client, wire, clip, picture):
    await client.models()
    wire.fake._sampling = FrameSampling("uniform-8", num_frames=8)
    wrong = Item(index=0, error={"code": FrameIndexMismatch.code, "message": "no"})
    wire.script.append([event(wrong), event(GroupResponse(**COMMON, items=[wrong], theta=5.0))])
    (item,) = [item async for item in client.stream_group([picture], [clip], fps=16)]
    assert item.reward is not None
    assert wire.requests[-1].message.videos[0].frames.shape[0] == 8


async def test_the_error_of_a_call_is_raised_from_its_stream(client, wire, files):
    wire.script.append(InvalidMedia("no reference can be read"))
    with pytest.raises(InvalidMedia):
        _ = [item async for item in client.stream_group(refs(files), [files / "one.mp4"])]


@pytest.mark.parametrize(
    "target", ["", "nonsense", "http://127.0.0.1:1", "grpc://", "127.0.0.1", "grpc://h:99999", "grpc://h:1/path"]
)
def test_a_target_that_is_none_is_refused(target):
    with pytest.raises(InvalidRequest, match="looks like"):
        GrpcRewardClient(target)


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("h:1", {"ca_path": "x"}, "grpcs://"),
        ("grpcs://h:1", {"cert_path": "x"}, "go together"),
        ("grpcs://h:1", {"ca_path": "gone.pem"}, "no PEM at gone.pem"),
        ("h:1", {"priority": "urgent"}, "priority is one of"),
    ],
)
def test_options_that_make_no_sense_are_refused(target, options, says):
    with pytest.raises(InvalidRequest, match=says):
        GrpcRewardClient(target, **options)


def test_it_is_made_anywhere_and_used_in_the_loop_of_the_blocking_facade(unused_tcp_port):
    from identity_reward_client.sync import SyncRewardClient

    brief = RetryPolicy(max_attempts=1)
    with (
        SyncRewardClient(GrpcRewardClient(f"127.0.0.1:{unused_tcp_port}", retry=brief)) as client,
        pytest.raises(ConnectionFailed),
    ):
        client.models()
