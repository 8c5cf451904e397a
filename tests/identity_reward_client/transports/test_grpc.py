import asyncio
import math
import time

import numpy as np
import pytest

from identity_reward_client.base import RewardClient
from identity_reward_client.errors import (
    ConnectionFailed,
    FrameIndexMismatch,
    InvalidMedia,
    InvalidRequest,
    InvalidResponse,
    Overloaded,
    ReferenceSetNotFound,
)
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import to_references
from identity_reward_client.messages import GroupResponse, Item
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.methods import event
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from identity_reward_client.wire.content_ids import reference_set_id
from tests.identity_reward_client.transports.conftest import QUICK
from tests.identity_reward_client.transports.servers.responses import COMMON, SCORED, STAMP
from tests.support.waiting import until


async def test_grpc_client_is_a_reward_client(grpc_client):
    assert isinstance(grpc_client, RewardClient)


async def test_rewards_are_those_of_the_service(grpc_client, grpc_wire, files, clip, image, references):
    direct = grpc_wire.fake
    assert (await grpc_client.score(references, files / "one.mp4")).reward == (
        await direct.score(references, files / "one.mp4")
    ).reward
    answer = await grpc_client.compare([image], clip, clip + 200, fps=16, theta=1.5)
    assert (answer.verdict, answer.theta) == ("B", 1.5)
    group = await grpc_client.score_group([image], [clip, clip + 100], fps=16, matrices=True, details=True)
    expected = await direct.score_group([image], [clip, clip + 100], fps=16, matrices=True, details=True)
    assert (group.items, group.win, group.tie) == (expected.items, expected.win, expected.tie)
    assert grpc_wire.names() == ["Score", "ListModels", "Compare", "ScoreGroup"]
    sent = grpc_wire.requests[-1].message.videos[0]
    assert (sent.frames.shape, sent.frame_indices) == ([4, 24, 40, 3], [0, 11, 21, 32])


async def test_calls_send_token_priority_deadline_and_one_key_for_all_attempts(grpc_wire, files, references):
    client = GrpcRewardClient(
        f"grpc://{grpc_wire.target}", token="s3cret", priority="rollout", timeout_s=9, retry=QUICK
    )
    grpc_wire.script.extend([Overloaded("busy"), None, None])
    await client.score(references, files / "one.mp4")
    await client.score(references, files / "one.mp4")
    keys = [request.metadata["idempotency-key"] for request in grpc_wire.requests]
    assert keys[0] == keys[1] != keys[2]
    for request in grpc_wire.requests:
        assert (request.metadata["authorization"], request.metadata["x-priority"]) == ("Bearer s3cret", "rollout")
        assert 5 < request.left_s < 9.1
    await client.close()


async def test_calls_name_their_reference_set(grpc_client, grpc_wire, files, image, clip):
    set_id = await grpc_client.put_references([image])
    await grpc_client.score([image], files / "one.mp4")
    await grpc_client.score_group(set_id, [clip], fps=16)
    await grpc_client.compare([b"other"], files / "one.mp4", files / "two.mp4")
    named = [request.metadata.get("x-reference-set") for request in grpc_wire.requests if request.name != "ListModels"]
    own = reference_set_id(to_references([image]))
    assert named[:3] == [own, own, set_id]
    assert named[3] not in (own, set_id, None)


async def test_large_request_is_sent_in_chunks(grpc_client, grpc_wire, image):
    clip = np.zeros((4, 512, 512, 3), np.uint8)
    group = await grpc_client.score_group([image], [clip, clip, clip], fps=16)
    assert len(group.items) == 3
    big = np.zeros((1200, 1200, 3), np.uint8)
    await grpc_client.put_references([big, image])
    await grpc_client.score([big], clip, fps=16)
    await grpc_client.compare([image], clip, clip, fps=16)
    assert [(request.name, request.chunked) for request in grpc_wire.requests] == [
        ("ListModels", False), ("ScoreGroup", True), ("PutReferenceSet", True), ("Score", True), ("Compare", True)
    ]  # fmt: skip


async def test_overloaded_call_is_retried_after_retry_info(grpc_client, grpc_wire, files, references):
    grpc_wire.script.append(Overloaded("busy", retry_after_s=1.2))
    started = time.monotonic()
    await grpc_client.score(references, files / "one.mp4")
    assert time.monotonic() - started >= 1.2


async def test_lost_set_is_uploaded_again_once(grpc_client, grpc_wire, files, clip, references):
    set_id = await grpc_client.put_references(references)
    grpc_wire.fake._sets.clear()
    answer = await grpc_client.score_group(set_id, [clip], fps=16)
    assert answer.items[0].reward is not None
    assert grpc_wire.names() == ["PutReferenceSet", "ListModels", "ScoreGroup", "PutReferenceSet", "ScoreGroup"]
    with pytest.raises(ReferenceSetNotFound):
        await grpc_client.score("sha256:" + "0" * 64, files / "one.mp4")


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
async def test_incomplete_response_is_an_invalid_response(grpc_client, grpc_wire, files, answer, references):
    grpc_wire.script.append([answer])
    with pytest.raises(InvalidResponse):
        await grpc_client.score(references, files / "one.mp4")


def group_events(*rewards):
    items = [Item(index=i, scored={"reward": reward, **SCORED}) for i, reward in enumerate(rewards)]
    return [*map(event, items), event(GroupResponse(**COMMON, items=items, theta=5.0))]


@pytest.mark.parametrize(
    "events",
    [group_events(1.0)[:-1], group_events(1.0, 2.0)[-1:], [b"\xff"], group_events(math.nan)],
    ids=["no last message", "two of one", "no protobuf", "NaN"],
)
async def test_incomplete_stream_is_an_invalid_response(grpc_client, grpc_wire, files, events, references):
    grpc_wire.script.append(events)
    with pytest.raises(InvalidResponse):
        await grpc_client.score_group(references, [files / "one.mp4"])
    grpc_wire.script.append(events)
    with pytest.raises(InvalidResponse):
        _ = [item async for item in grpc_client.stream_group(references, [files / "one.mp4"])]


async def test_items_are_streamed_once_with_the_index_of_the_caller(grpc_client, grpc_wire, clip, image):
    videos = ["gone.mp4", clip, clip + 1, "gone.mp4", clip + 2]
    items = [item async for item in grpc_client.stream_group([image], videos, fps=16)]
    assert [item.index for item in items] == [4, 2, 1, 0, 3]  # the grpc_wire sends its items backwards
    whole = await grpc_client.score_group([image], videos, fps=16)
    assert sorted(items, key=lambda item: item.index) == whole.items


async def test_broken_stream_is_retried_and_repeats_no_item(grpc_client, grpc_wire, files, references):
    videos = [files / "one.mp4", files / "two.mp4", files / "three.mp4"]
    true = await grpc_wire.fake.score_group(references, videos)
    grpc_wire.script.append([event(true.items[1]), Overloaded("too much, suddenly")])
    items = [item async for item in grpc_client.stream_group(references, videos)]
    assert [item.index for item in items] == [1, 2, 0]
    assert grpc_wire.names() == ["ScoreGroup", "ScoreGroup"]


async def test_leaving_a_stream_cancels_the_call(grpc_client, grpc_wire, files, references):
    grpc_wire.delay_s = 30
    first = asyncio.ensure_future(anext(grpc_client.stream_group(references, [files / "one.mp4"])))
    await until(lambda: grpc_wire.requests)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await until(lambda: grpc_wire.cancelled)


async def test_changed_frame_sampling_is_noticed_in_a_stream(grpc_client, grpc_wire, clip, image):
    await grpc_client.models()
    grpc_wire.fake._sampling = FrameSampling("uniform-8", num_frames=8)
    wrong = Item(index=0, error={"code": FrameIndexMismatch.code, "message": "no"})
    grpc_wire.script.append([event(wrong), event(GroupResponse(**COMMON, items=[wrong], theta=5.0))])
    (item,) = [item async for item in grpc_client.stream_group([image], [clip], fps=16)]
    assert item.reward is not None
    assert grpc_wire.requests[-1].message.videos[0].frames.shape[0] == 8


async def test_error_of_a_call_is_raised_from_its_stream(grpc_client, grpc_wire, files, references):
    grpc_wire.script.append(InvalidMedia("no reference can be read"))
    with pytest.raises(InvalidMedia):
        _ = [item async for item in grpc_client.stream_group(references, [files / "one.mp4"])]


@pytest.mark.parametrize(
    "target", ["", "nonsense", "http://127.0.0.1:1", "grpc://", "127.0.0.1", "grpc://h:99999", "grpc://h:1/path"]
)
def test_malformed_target_is_refused(target):
    with pytest.raises(InvalidRequest, match="looks like"):
        GrpcRewardClient(target)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("h:1", {"ca_path": "x"}, "grpcs://"),
        ("grpcs://h:1", {"cert_path": "x"}, "go together"),
        ("grpcs://h:1", {"ca_path": "gone.pem"}, "no PEM at gone.pem"),
        ("h:1", {"priority": "urgent"}, "priority is one of"),
    ],
)
def test_contradictory_options_are_refused(target, options, message):
    with pytest.raises(InvalidRequest, match=message):
        GrpcRewardClient(target, **options)


def test_client_may_be_created_outside_of_its_loop(unused_tcp_port):
    from identity_reward_client.sync import SyncRewardClient

    brief = RetryPolicy(max_attempts=1)
    with (
        SyncRewardClient(GrpcRewardClient(f"127.0.0.1:{unused_tcp_port}", retry=brief)) as client,
        pytest.raises(ConnectionFailed),
    ):
        client.models()
