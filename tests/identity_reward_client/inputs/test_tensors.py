import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.inputs.tensors import from_pixels, to_pixels, to_uint8_frames, to_uint8_image

sizes = st.integers(1, 6).filter(lambda n: n != 3)
clips = st.tuples(st.integers(1, 4), sizes, sizes).flatmap(lambda s: hnp.arrays(np.uint8, (*s, 3)))


@given(clips)
def test_uint8_thwc_is_not_copied_and_survives_the_wire(array):
    frames = to_uint8_frames(array)
    assert np.shares_memory(frames, array)
    pixels = to_pixels(frames)
    assert np.shares_memory(np.frombuffer(pixels.data, np.uint8), array)
    np.testing.assert_array_equal(from_pixels(pixels), array)


@given(clips)
def test_tchw_gives_the_same_frames_as_thwc(array):
    np.testing.assert_array_equal(to_uint8_frames(np.moveaxis(array, -1, 1)), array)
    np.testing.assert_array_equal(to_uint8_frames(torch.from_numpy(array).permute(0, 3, 1, 2)), array)


@given(clips, st.sampled_from([np.float16, np.float32, np.float64]), st.sampled_from([(0, 1), (-1, 1), (0, 255)]))
def test_floats_in_a_range_become_their_grey_levels(array, dtype, value_range):
    low, high = value_range
    floats = (array.astype(np.float64) / 255 * (high - low) + low).astype(dtype)
    np.testing.assert_array_equal(to_uint8_frames(floats, value_range=value_range), array)


@given(hnp.arrays(np.float32, (2, 4, 5, 3), elements=st.floats(0, 1, width=32)))
def test_rounding_is_to_the_nearest_level(array):
    levels = to_uint8_frames(array, value_range=(0, 1)).astype(np.float64)
    assert np.abs(levels - array.astype(np.float64) * 255).max() <= 0.5 + 1e-4


def test_halves_round_to_even():
    levels = np.array([0.5, 1.5, 2.5], dtype=np.float32).reshape(1, 1, 1, 3)
    assert to_uint8_frames(levels, value_range=(0, 255)).ravel().tolist() == [0, 2, 2]


def test_only_sampled_frames_are_converted():
    array = np.zeros((33, 4, 4, 3), dtype=np.float32)
    array[7] = np.nan
    assert to_uint8_frames(array, value_range=(0, 1), indices=(0, 11, 21, 32)).shape == (4, 4, 4, 3)
    with pytest.raises(InvalidRequest, match="NaN"):
        to_uint8_frames(array, value_range=(0, 1), indices=(0, 7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_torch_floats_are_taken_with_gradients_attached(dtype):
    video = torch.ones(2, 3, 4, 5, dtype=dtype, requires_grad=True)
    frames = to_uint8_frames(video, value_range=(-1, 1), indices=(1, 1))
    assert frames.shape == (2, 4, 5, 3)
    assert (frames == 255).all()


def test_image_layouts_are_converted_to_hwc():
    array = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(to_uint8_image(np.moveaxis(array, -1, 0)), array)
    assert np.shares_memory(to_uint8_image(array), array)


def test_ambiguous_layout_must_be_named():
    array = np.zeros((5, 3, 8, 3), dtype=np.uint8)
    with pytest.raises(InvalidRequest, match=r"layout='THWC'.*'TCHW'"):
        to_uint8_frames(array)
    assert to_uint8_frames(array, layout="THWC").shape == (5, 3, 8, 3)
    assert to_uint8_frames(array, layout="TCHW").shape == (5, 8, 3, 3)


BAD = {
    "one image": (np.zeros((4, 5, 3), np.uint8), {}, "one clip at a time"),
    "a batch": (np.zeros((1, 2, 4, 5, 3), np.uint8), {}, "one clip at a time"),
    "no frames": (np.zeros((0, 4, 5, 3), np.uint8), {}, "shape"),
    "grey": (np.zeros((2, 4, 5, 1), np.uint8), {}, "no RGB channel axis"),
    "alpha": (np.zeros((2, 4, 5, 4), np.uint8), {}, "no RGB channel axis"),
    "unknown layout": (np.zeros((2, 4, 5, 3), np.uint8), {"layout": "CTHW"}, "'THWC' or 'TCHW'"),
    "layout that isn't so": (np.zeros((2, 4, 5, 3), np.uint8), {"layout": "TCHW"}, "channel axis has size 4"),
    "float without range": (np.zeros((2, 4, 5, 3), np.float32), {}, r"value_range=\(0, 1\)"),
    "int64": (np.zeros((2, 4, 5, 3), np.int64), {}, "int64"),
    "bool": (np.zeros((2, 4, 5, 3), bool), {}, "bool"),
    "uint8 with range": (np.zeros((2, 4, 5, 3), np.uint8), {"value_range": (0, 1)}, "float arrays"),
    "NaN": (np.full((2, 4, 5, 3), np.nan, np.float32), {"value_range": (0, 1)}, "NaN"),
    "infinity": (np.full((2, 4, 5, 3), np.inf, np.float32), {"value_range": (0, 1)}, "infinity"),
    "above": (np.full((2, 4, 5, 3), 1.01, np.float32), {"value_range": (0, 1)}, r"1\.01.*outside"),
    "below": (np.full((2, 4, 5, 3), -0.01, np.float32), {"value_range": (0, 1)}, "outside"),
    "range reversed": (np.zeros((2, 4, 5, 3), np.float32), {"value_range": (1, 0)}, "ascending"),
    "range infinite": (np.zeros((2, 4, 5, 3), np.float32), {"value_range": (0, np.inf)}, "finite"),
}


@pytest.mark.parametrize(("array", "options", "message"), BAD.values(), ids=BAD)
def test_bad_array_is_refused_with_a_reason(array, options, message):
    with pytest.raises(InvalidRequest, match=message):
        to_uint8_frames(array, **options)


def test_tiny_overshoot_is_clipped():
    array = np.array([-0.0005, 0.5, 1.0005], dtype=np.float32).reshape(1, 1, 1, 3)
    assert to_uint8_frames(array, value_range=(0, 1)).ravel().tolist() == [0, 128, 255]
