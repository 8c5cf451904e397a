import numpy as np
import pytest

from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import GroupRequest, ScoreRequest, Video
from reward_model import types
from service.engine.video_warnings import video_warnings

UNIFORM = FrameSampling("uniform-4", num_frames=4, compat_fps=10.0)
BY_RATE = FrameSampling("two-a-second", fps=2.0, min_frames=4, compat_fps=10.0)


def warnings(num_frames: int, fps: float, sampling=UNIFORM, sent_fps=None) -> dict[str, str]:
    indices = sampling.indices(num_frames, fps)
    decoded = types.Video(np.zeros((len(indices), 2, 2, 3), np.uint8), fps, num_frames, indices)
    found = video_warnings(Video(data=b"mp4", fps=sent_fps), decoded, sampling)
    assert all(warning.reference_index is None for warning in found)
    return {warning.code: warning.message for warning in found}


@pytest.mark.parametrize("sampling", [UNIFORM, BY_RATE])
def test_a_clip_of_usual_length_has_none(sampling):
    assert warnings(40, 16.0, sampling) == {}
    assert warnings(40, 16.0, sampling, sent_fps=16) == {}


def test_a_rate_that_the_model_assumes_is_named():
    assert "10 frames per second are assumed" in warnings(40, 10.0, sent_fps="compat")["frame_rate_assumed"]


@pytest.mark.parametrize("sampling", [UNIFORM, BY_RATE])
def test_fewer_frames_than_the_model_samples(sampling):
    message = warnings(3, 2.0, sampling)["short_clip"]
    assert message == "the clip is short: it has 3 distinct frames, below the 4 that the model samples"


def test_less_than_half_a_second():
    assert warnings(8, 16.0) == {}
    assert warnings(7, 16.0)["short_clip"] == "the clip is short: it lasts 0.44 s, below 0.5 s"


async def test_responses_have_the_warnings_of_each_video(engine, reference, video):
    response = await engine.score(ScoreRequest(references=[reference()], video=video(51, frames=3)))
    assert [w.code for w in response.warnings] == ["short_clip"]
    group = await engine.score_group(GroupRequest(references=[reference()], videos=[video(51, frames=3), video(51)]))
    assert [[w.code for w in item.scored.warnings] for item in group.items] == [["short_clip"], []]
