import json
import math

import pytest
from pydantic import ValidationError

from identity_reward_client import messages
from identity_reward_client.messages import (
    CompareRequest,
    GroupRequest,
    GroupResponse,
    Image,
    Item,
    ModelList,
    Pixels,
    Scored,
    ScoreRequest,
    Video,
)
from tests.identity_reward_client.transports.servers.responses import COMMON, SCORED

SET_ID = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ([2, 2, 3], 11, "needs 12 bytes of uint8, got 11"),
        ([2, 2, 4], 16, "positive sizes"),
        ([0, 2, 3], 0, "positive sizes"),
        ([2, 3], 6, "at least 3 items"),
        ([1, 1, 1, 1, 3], 3, "at most 4 items"),
        ([1 << 40, 1 << 40, 3], 3, "needs"),
    ],
)
def test_pixels_have_the_size_of_their_shape(shape, size, message):
    with pytest.raises(ValidationError, match=message):
        Pixels(shape=shape, data=bytes(size))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Image, {}, "exactly one of data, pixels, url, path; got none"),
        (Image, {"data": b"x", "url": "https://x"}, "got data, url"),
        (Image, {"pixels": Pixels(shape=[1, 1, 1, 3], data=bytes(3))}, r"\[H, W, 3\], got shape"),
        (Video, {}, "exactly one of data, frames, images, url, path, id; got none"),
        (Video, {"frames": Pixels(shape=[1, 1, 3], data=bytes(3))}, r"\[T, H, W, 3\], got shape"),
        (Video, {"id": "sha256:1"}, "match pattern"),
        (Video, {"data": b"x", "frame_indices": [0]}, "go together"),
        (Video, {"data": b"x", "frame_indices": [0], "num_source_frames": 1}, "a video file is sent whole"),
        (Video, {"data": b"x", "fps": "fast"}, 'a number or "compat"'),
        (Video, {"data": b"x", "nonsense": 1}, "Extra inputs"),
    ],
)
def test_contradictory_media_are_refused(kind, fields, message):
    with pytest.raises(ValidationError, match=message):
        kind(**fields)


@pytest.mark.parametrize("theta", [1, 0.5, -2, math.nan, math.inf])
def test_theta_is_a_finite_number_above_1(theta):
    with pytest.raises(ValidationError, match="theta"):
        CompareRequest(references=SET_ID, video_a=Video(data=b"a"), video_b=Video(data=b"b"), theta=theta)


def test_references_are_images_or_the_id_of_a_set():
    video = Video(data=b"mp4")
    assert ScoreRequest(references=SET_ID, video=video).references == SET_ID
    assert ScoreRequest(references=[Image(data=b"jpg")], video=video).references == [Image(data=b"jpg")]
    with pytest.raises(ValidationError, match="at least 1 item"):
        ScoreRequest(references=[], video=video)
    with pytest.raises(ValidationError, match="at least 1 item"):
        GroupRequest(references=SET_ID, videos=[])


def test_unknown_fields_are_refused_in_requests_and_ignored_in_responses():
    with pytest.raises(ValidationError, match="nonsense"):
        ScoreRequest.model_validate({"references": SET_ID, "video": {"data": "YQ=="}, "nonsense": 1})
    assert ModelList.model_validate({"models": [], "nonsense": 1}).models == []


def test_the_base_of_responses_keeps_its_former_name():
    assert messages.Answer is messages.ResponseMessage


def test_numbers_that_are_not_finite_become_null_in_json():
    assert json.loads(Scored(reward=math.nan, **SCORED).model_dump_json())["reward"] is None


def test_reward_of_an_item_with_an_error_is_none():
    items = [Item(index=0, scored={"reward": 0.5, **SCORED}), Item(index=1, error={"code": "x", "message": "y"})]
    assert [item.reward for item in GroupResponse(**COMMON, items=items, theta=5.0).items] == [0.5, None]
