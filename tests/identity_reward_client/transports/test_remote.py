import json
import math

import numpy as np
import pytest
from starlette.responses import Response

from identity_reward_client.errors import (
    FrameIndexMismatch,
    InvalidMedia,
    InvalidRequest,
    MissingFps,
    ModelNotFound,
    ReferenceSetNotFound,
)
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.tensors import Frames
from identity_reward_client.transports.http import HttpRewardClient
from tests.identity_reward_client.transports.servers.responses import COMMON


async def test_models_are_fetched_once(client, wire, clip, image):
    for _ in range(3):
        await client.score_group([image], [clip, clip], fps=16)
    assert wire.paths().count("/v1/models") == 1


async def test_unsendable_video_is_an_item_error_and_the_others_are_scored(client, clip, image):
    diverged = Frames(np.full((5, 4, 4, 3), math.nan, np.float32), value_range=(0, 1))
    answer = await client.score_group([image], [clip, diverged, "gone.mp4", clip], fps=16, matrices=True)
    assert [item.index for item in answer.items] == [0, 1, 2, 3]
    assert [item.error and item.error.code for item in answer.items] == [
        None,
        "invalid_request",
        "invalid_request",
        None,
    ]
    assert "NaN" in answer.items[1].error.message
    assert "gone.mp4" in answer.items[2].error.message
    assert answer.win[0][3] == pytest.approx(1 / 6)
    assert answer.win[1] == [None] * 4
    assert [row[2] for row in answer.tie] == [None] * 4


async def test_group_of_unsendable_videos_raises(client, wire, clip, image):
    with pytest.raises(MissingFps):
        await client.score_group([image], [clip, clip])
    with pytest.raises(InvalidRequest, match="at least one"):
        await client.score_group([image], [])
    assert "/v1/groups:raw" not in wire.paths()


async def test_error_of_a_single_array_is_raised(client, wire, clip, image):
    wire.fake._fail = {0: InvalidMedia("too dark")}
    with pytest.raises(InvalidMedia, match="too dark"):
        await client.score([image], clip, fps=16)


async def test_id_of_a_stored_set_replaces_its_images(client, wire, files, references):
    set_id = await client.put_references(references)
    assert wire.requests[0].method == "PUT"
    answer = await client.score(set_id, files / "one.mp4")
    assert json.loads(wire.requests[1].body)["references"] == set_id
    assert math.isfinite(answer.reward)


async def test_lost_set_is_uploaded_again_once(client, wire, clip, references):
    set_id = await client.put_references(references)
    wire.fake._sets.clear()
    answer = await client.score_group(set_id, [clip], fps=16)
    assert answer.items[0].reward is not None
    assert wire.paths() == [
        "/v1/reference-sets", "/v1/models", "/v1/groups:raw", "/v1/reference-sets", "/v1/groups:raw"
    ]  # fmt: skip


async def test_unknown_set_is_not_found(client, files):
    with pytest.raises(ReferenceSetNotFound):
        await client.score("sha256:" + "0" * 64, files / "one.mp4")


@pytest.mark.parametrize("options", [{"theta": 0.5}, {"theta": math.nan}, {"prompt": 5}], ids=str)
async def test_invalid_options_are_refused_by_every_client(client, wire, clip, options):
    for caller in (client, wire.fake):
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            await caller.score_group([b"jpg"], [clip], fps=16, **options)
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            await caller.compare([b"jpg"], clip, clip, fps=16, **options)


async def test_unknown_model_lists_the_served_ones(client, clip, files):
    with pytest.raises(ModelNotFound, match="served: fake"):
        await client.score([b"jpg"], clip, fps=16, model="nope")
    with pytest.raises(ModelNotFound):
        await client.score([b"jpg"], files / "one.mp4", model="nope")


@pytest.mark.parametrize("whole", [True, False], ids=["whole request", "item"])
async def test_changed_frame_sampling_of_the_server_is_noticed(client, wire, clip, whole):
    await client.score_group([b"jpg"], [clip], fps=16)
    wire.fake._sampling = FrameSampling("uniform-8", num_frames=8)
    mismatch = FrameIndexMismatch("these frames aren't the model's")
    if whole:
        wire.script.append(mismatch)
        call = client.score([b"jpg"], clip, fps=16)
    else:
        body = {**COMMON, "theta": 5, "items": [{"index": 0, "error": {"code": mismatch.code, "message": "no"}}]}
        wire.script.append(Response(json.dumps(body), 200))
        call = client.score_group([b"jpg"], [clip], fps=16)
    await call
    assert wire.metadata()["video.0"]["shape"][0] == 8


async def test_lasting_frame_mismatch_is_raised(client, wire, clip):
    await client.models()
    wire.script.extend([FrameIndexMismatch("no")])
    with pytest.raises(FrameIndexMismatch):
        await client.score([b"jpg"], clip, fps=16)
    assert wire.paths().count("/v1/groups:raw") == 1


def test_unknown_priority_is_refused(wire):
    with pytest.raises(InvalidRequest, match="rollout, interactive, bulk"):
        HttpRewardClient(wire.url, priority="urgent")
