import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client.errors import InvalidMedia
from reward_model.decoding.timeline import timeline


@given(st.integers(1, 300), st.sampled_from([1.0, 10.0, 23.976, 25.0, 59.94, 120.0]), st.floats(-5, 100))
def test_frames_of_a_constant_rate_keep_their_numbers(count, fps, start):
    """Times are rounded to milliseconds, as Matroska stores them."""
    starts = [round((start + i / fps) * 1000) / 1000 for i in range(count)]
    line = timeline(starts, 1 / fps, fps)
    assert not line.variable
    assert line.fps == fps
    assert line.source_frames(range(count)) == tuple(range(count))


@given(st.lists(st.floats(0.001, 2.0), min_size=2, max_size=60))
def test_frames_of_a_variable_rate_ascend_within_the_clip(gaps):
    starts = [sum(gaps[:i]) for i in range(len(gaps))]
    line = timeline(starts, gaps[-1], None)
    frames = line.source_frames(range(len(gaps)))
    assert list(frames) == sorted(frames)
    assert 0 <= frames[0] <= frames[-1] < len(gaps)
    assert line.duration_s == pytest.approx(sum(gaps))
    for i, frame in enumerate(frames):
        middle = (i + 0.5) / line.fps
        assert starts[frame] <= middle + 1e-9 or frame == 0
        assert frame + 1 == len(starts) or middle < starts[frame + 1] + 1e-9


def test_frame_times_take_precedence_over_a_wrong_header_rate():
    line = timeline([0.1 * i for i in range(30)], 0.1, 1000.0)
    assert line.fps == pytest.approx(10.0)
    assert not line.variable


def test_no_times_and_no_rate_is_an_error():
    with pytest.raises(InvalidMedia, match="no usable times"):
        timeline([0.0], None, None)
    with pytest.raises(InvalidMedia, match="no frames"):
        timeline([], 0.1, 10.0)
