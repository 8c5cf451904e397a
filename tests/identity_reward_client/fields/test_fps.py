import json

import numpy as np
import pytest
from pydantic import ValidationError

from identity_reward_client.errors import InvalidRequest, MissingFps
from identity_reward_client.fake import FakeRewardClient
from identity_reward_client.fields.fps import check_fps, resolve_fps
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import to_video
from identity_reward_client.inputs.tensors import Frames
from identity_reward_client.messages import GroupRequest, Video
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.wire import raw_body

PLAIN = FrameSampling("plain", num_frames=4)
TEN = FrameSampling("ten", num_frames=4, compat_fps=10.0)
BY_RATE = FrameSampling("by-rate", fps=2.0, min_frames=1, compat_fps=10.0)


def test_compat_is_the_rate_that_the_model_assumes():
    assert resolve_fps("compat", TEN) == 10
    assert resolve_fps(24.0, TEN) == 24
    with pytest.raises(MissingFps, match="plain assumes none; send the clip's frames per second") as caught:
        resolve_fps("compat", PLAIN)
    assert caught.value.details == {"frame_sampling": "plain"}


@pytest.mark.parametrize("fps", ["fast", "Compat", "", [1], {}], ids=repr)
def test_other_words_are_refused(fps):
    with pytest.raises(InvalidRequest, match='number or "compat"'):
        check_fps(fps)
    with pytest.raises(ValidationError, match='number or "compat"'):
        Video(data=b"mp4", fps=fps)


def test_compat_is_sent_as_the_word():
    video = Video(data=b"mp4", fps="compat")
    assert json.loads(video.model_dump_json())["fps"] == "compat"
    assert Video.model_validate_json(video.model_dump_json()) == video
    assert Video.model_validate_json('{"data": "YQ==", "fps": 12}').fps == 12


def test_frames_are_sampled_at_the_assumed_rate_and_sent_as_compat(clip):
    assert to_video(clip, "compat", BY_RATE).frame_indices == to_video(clip, 10, BY_RATE).frame_indices
    assert to_video(clip, "compat", BY_RATE).frame_indices != to_video(clip, 30, BY_RATE).frame_indices
    for video in (clip, list(clip), Frames(clip, fps="compat")):
        sent = to_video(video, "compat", TEN)
        assert (sent.fps, sent.frame_indices) == ("compat", [0, 11, 21, 32])
    with pytest.raises(MissingFps, match="plain"):
        to_video(clip, "compat", PLAIN)


def test_compat_survives_a_raw_body(clip):
    request = GroupRequest(
        references=[{"data": b"jpg"}], videos=[to_video(clip, "compat", TEN), to_video(clip, 8, TEN)]
    )
    assert [video.fps for video in raw_body.decode(raw_body.encode(request)).videos] == ["compat", 8]


async def test_response_has_the_resolved_rate(wire, clip):
    wire.fake._sampling = TEN
    client = HttpRewardClient(wire.url)
    assert (await client.score([b"jpg"], clip, fps="compat")).fps == 10
    assert (await client.score([b"jpg"], b"a file", fps="compat")).fps == 10
    compared = await client.compare([b"jpg"], clip, b"a file", fps="compat")
    assert (compared.a.fps, compared.b.fps) == (10, 10)
    assert wire.metadata(1)["__metadata__"]["request"].count('"fps": "compat"') == 1
    await client.close()


async def test_model_without_a_compat_rate_fails_only_that_item(clip):
    group = await FakeRewardClient().score_group([b"jpg"], [b"one", Frames(clip, fps=8), clip], fps="compat")
    assert [item.error and item.error.code for item in group.items] == ["missing_fps", None, "missing_fps"]
    with pytest.raises(MissingFps, match="uniform-4"):
        await FakeRewardClient().score([b"jpg"], np.zeros((3, 8, 8, 3), np.uint8), fps="compat")
