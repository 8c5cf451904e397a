import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client.frame_sampling import FrameSampling

counts = st.integers(1, 3000)
rates = st.floats(0.5, 240)
uniform = st.builds(
    FrameSampling, name=st.just("u"), num_frames=st.integers(1, 64), frame_factor=st.sampled_from([1, 2])
)
by_rate = st.builds(FrameSampling, name=st.just("r"), fps=st.floats(0.25, 30), frame_factor=st.sampled_from([1, 2]))


@given(uniform | by_rate, counts, rates)
def test_indices_ascend_within_the_video_and_match_the_count(sampling, count, fps):
    indices = sampling.indices(count, fps)
    assert len(indices) == sampling.count(count, fps) >= 1
    assert list(indices) == sorted(indices)
    assert indices[0] == 0
    assert 0 <= indices[-1] <= count - 1
    assert len(indices) == 1 or indices[-1] == count - 1
    assert len(indices) % sampling.frame_factor == 0 or len(indices) == 1


@given(by_rate, counts, rates)
def test_rate_rule_stays_within_its_bounds(sampling, count, fps):
    assert sampling.count(count, fps) <= max(min(count, sampling.max_frames), sampling.frame_factor)


@given(uniform, counts, rates)
def test_gaps_of_the_uniform_rule_differ_by_one_at_most(sampling, count, fps):
    gaps = np.diff(sampling.indices(count, fps))
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("sampling", "count", "fps", "indices"),
    [
        (FrameSampling("u", num_frames=4), 33, 16, (0, 11, 21, 32)),
        (FrameSampling("u", num_frames=10), 10, 16, tuple(range(10))),
        (FrameSampling("u", num_frames=5, frame_factor=2), 33, 16, (0, 11, 21, 32)),
        (FrameSampling("u", num_frames=4), 2, 16, (0, 0, 1, 1)),
        (FrameSampling("r", fps=2, frame_factor=2), 120, 24, (0, 13, 26, 40, 53, 66, 79, 93, 106, 119)),
        (FrameSampling("r", fps=2, frame_factor=2), 3, 24, (0, 2)),
        (FrameSampling("r", fps=2, frame_factor=2), 1, 24, (0, 0)),
    ],
    ids=["33 by 4", "all", "5 rounds to 4", "repeats", "120 frames at 2 fps", "3 frames", "1 frame"],
)
def test_frame_sampling_gives_golden_indices(sampling, count, fps, indices):
    assert sampling.indices(count, fps) == indices


@pytest.mark.parametrize(("count", "fps"), [(0, 8), (5, 0), (5, float("nan")), (5, float("inf"))], ids=str)
def test_impossible_videos_are_refused(count, fps):
    with pytest.raises(ValueError, match=r"frame|fps"):
        FrameSampling("u", num_frames=4).indices(count, fps)


@pytest.mark.parametrize("fields", [{}, {"num_frames": 4, "fps": 2.0}], ids=["neither", "both"])
def test_exactly_one_rule_is_set(fields):
    with pytest.raises(ValueError, match="exactly one"):
        FrameSampling("x", **fields)
