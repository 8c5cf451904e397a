import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reward_model.faces.tracks.identity_terms import WINDOW_FRAMES, identity_terms, windowed

NO_COPY = np.zeros((2, 16))


def similarity(**changes: float) -> np.ndarray:
    values = np.full((2, 16), 0.7)
    for frames, value in changes.items():
        first, last = map(int, frames.removeprefix("frames_").split("_"))
        values[1, first : last + 1] = value
    return values


def test_worst_is_the_least_window_of_the_worst_person():
    assert identity_terms(similarity(), NO_COPY).worst == pytest.approx(0.7)
    assert identity_terms(similarity(frames_4_7=0.1), NO_COPY).worst == pytest.approx(0.1)
    # two frames of a window of four
    assert identity_terms(similarity(frames_4_5=0.1), NO_COPY).worst == pytest.approx(0.4)


def test_absence_and_a_stranger_less_similar_than_nobody_count_as_zero():
    absent, opposite = (
        identity_terms(similarity(frames_0_3=np.nan), NO_COPY), identity_terms(similarity(frames_0_3=-0.3), NO_COPY),
    )  # fmt: skip
    assert absent == opposite
    assert absent.worst == 0
    assert absent.mean == pytest.approx(0.7 * 28 / 32)


def test_copies_count_as_absent_in_a_clip_that_shows_them_throughout():
    copy_PT = NO_COPY.copy()
    copy_PT[0, 2:] = 1
    terms = identity_terms(similarity(), copy_PT)
    assert (terms.worst, terms.copied) == (0, 1)
    assert terms.mean == pytest.approx(0.7 * 18 / 32)
    # a video that begins as the reference image
    copy_PT[0] = [1, 1, 1, 1, *[0] * 12]
    assert identity_terms(similarity(), copy_PT) == identity_terms(similarity(), NO_COPY)
    # one that shows it every other second
    copy_PT[0] = [1, 1, 1, 1, 0, 0, 0, 0] * 2
    terms = identity_terms(similarity(), copy_PT)
    assert (terms.worst, terms.copied) == (0, 1)
    copy_PT[:, :] = np.nan
    assert identity_terms(np.full((2, 16), np.nan), copy_PT).copied == 0


def test_a_clip_shorter_than_a_window_is_one_window():
    assert windowed(np.array([[0.2, 0.6]])).tolist() == [[0.4]]
    assert windowed(np.zeros((1, 16))).shape == (1, 16 - WINDOW_FRAMES + 1)


@settings(max_examples=200, deadline=None)
@given(
    values=arrays(np.float64, (2, 9), elements=st.floats(-0.3, 1) | st.just(np.nan)),
    fall=arrays(np.float64, (2, 9), elements=st.floats(0, 1)),
    removed=arrays(np.bool_, (2, 9)),
    copied=arrays(np.float64, (2, 9), elements=st.floats(0, 1)),
)
def test_no_fall_removal_or_copy_raises_a_term(values, fall, removed, copied):
    before = identity_terms(values, np.zeros((2, 9)))
    after = identity_terms(np.where(removed, np.nan, values - fall), copied)
    assert after.worst <= before.worst + 1e-12
    assert after.mean <= before.mean + 1e-12
