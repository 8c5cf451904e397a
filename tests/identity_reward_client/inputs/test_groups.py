import math

import numpy as np
import pytest

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.groups import prepare_group
from identity_reward_client.inputs.tensors import Frames
from identity_reward_client.messages import GroupResponse
from tests.identity_reward_client.transports.servers.responses import COMMON, SCORED

UNIFORM_4 = FrameSampling("uniform-4", num_frames=4)


@pytest.fixture
def group(clip):
    """Of five videos the second and fourth cannot be sent."""
    diverged = Frames(np.full((5, 4, 4, 3), math.nan, np.float32), value_range=(0, 1))
    return prepare_group([clip, "gone.mp4", clip + 1, diverged, clip + 2], 16, UNIFORM_4)


def test_videos_that_cannot_be_sent_have_an_error(group):
    assert group.indices == [0, 2, 4]
    assert {index: type(error) for index, error in group.errors.items()} == {1: InvalidRequest, 3: InvalidRequest}


def test_response_is_restored_to_the_list_of_the_caller(group):
    items = [{"index": i, "scored": {"reward": float(i), **SCORED}} for i in range(3)]
    matrix = [[10.0 * i + j for j in range(3)] for i in range(3)]
    response = group.restore(GroupResponse(**COMMON, items=items, theta=5.0, win=matrix))
    assert [item.index for item in response.items] == [0, 1, 2, 3, 4]
    assert [item.reward for item in response.items] == [0.0, None, 1.0, None, 2.0]
    assert [item.error and item.error.code for item in response.items] == [
        None, "invalid_request", None, "invalid_request", None,
    ]  # fmt: skip
    assert response.win[2] == [10.0, None, 11.0, None, 12.0]
    assert response.win[1] == [None] * 5
    assert response.tie is None


def test_response_without_gaps_stays_as_it_is(clip):
    group = prepare_group([clip], 16, UNIFORM_4)
    response = GroupResponse(**COMMON, items=[{"index": 0, "scored": {"reward": 1.0, **SCORED}}], theta=5.0)
    assert group.restore(response) is response


@pytest.mark.parametrize(
    "videos", ["clip.mp4", b"mp4", np.zeros((2, 4, 4, 4, 3), np.uint8), 5], ids=lambda v: type(v).__name__
)
def test_group_that_is_not_a_list_is_refused(videos):
    with pytest.raises(InvalidRequest, match="a group is a list of videos"):
        prepare_group(videos, 8, UNIFORM_4)


def test_empty_group_is_refused():
    with pytest.raises(InvalidRequest, match="at least one video"):
        prepare_group([], 8, UNIFORM_4)


def test_group_without_a_video_that_can_be_sent_raises_the_first_error():
    with pytest.raises(InvalidRequest, match=r"gone\.mp4"):
        prepare_group(["gone.mp4", 5], 8, UNIFORM_4)
