import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_ops.resize_normalize_patchify.smart_resize import grid_thw, smart_resize

CAP = 832 * 480


@pytest.mark.parametrize(
    ("size", "least", "most", "resized", "tokens_per_slice"),
    [
        ((240, 416), 128 * 784, CAP, (252, 420), 135),
        ((480, 832), 128 * 784, CAP, (476, 812), 493),
        ((720, 1280), 128 * 784, CAP, (448, 840), 480),
        ((1024, 1024), 4 * 784, CAP, (616, 616), 484),
        ((512, 512), 4 * 784, CAP, (504, 504), 324),
        ((256, 256), 4 * 784, CAP, (252, 252), 81),
        ((480, 832), 3136, 12_845_056, (476, 840), 510),
        ((720, 1280), 100_352, 602_112, (560, 1008), 720),
        ((720, 1280), 3136, 12_845_056, (728, 1288), 1196),
        ((1024, 1024), 3136, 12_845_056, (1036, 1036), 1369),
    ],
)
def test_smart_resize_gives_golden_sizes(size, least, most, resized, tokens_per_slice):
    assert smart_resize(*size, least, most) == resized
    t, h, w = grid_thw(33, *resized)
    assert t == 17
    assert h * w // 4 == tokens_per_slice


@given(st.integers(1, 5000), st.integers(1, 5000), st.booleans())
def test_sides_are_multiples_within_the_caps(height, width, clamp):
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ValueError, match="ratio must be at most 200"):
            smart_resize(height, width, 4 * 784, CAP, clamp)
        return
    new_height, new_width = smart_resize(height, width, 4 * 784, CAP, clamp)
    assert new_height % 28 == new_width % 28 == 0
    assert new_height >= 28
    assert new_width >= 28
    assert new_height * new_width <= CAP
    if min(height, width) >= 14 or clamp:
        assert new_height * new_width >= 4 * 784
    if min(height, width) >= 112 and max(height, width) <= 8 * min(height, width):
        # one scale explains both sides, each to a factor of 28
        lowest = max((new_height - 28) / height, (new_width - 28) / width)
        assert lowest <= min((new_height + 28) / height, (new_width + 28) / width)


def test_thin_images_by_both_rules():
    assert smart_resize(600, 13, 3136, CAP) == (392, 28)
    assert smart_resize(600, 13, 3136, CAP, clamp_thin=True) == (588, 28)


def test_halves_round_to_even():
    assert smart_resize(28 * 4 + 14, 280, 3136, CAP) == (112, 280)
    assert smart_resize(28 * 5 + 14, 280, 3136, CAP) == (168, 280)
