"""Mirrored, rotated and anamorphic files: both decoders return frames as players display them."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from identity_reward_client.errors import InvalidMedia
from reward_model.decoding.decoders import DECODERS, decoder
from reward_model.decoding.display import Orientation, display_size, to_square_pixels
from tests.support.video_files import with_display_matrix

ONE = 1 << 16
# (a, b, c, d) of a display matrix, and the function from a stored to a displayed frame
SYMMETRIES = {
    "as-stored": ((1, 0, 0, 1), lambda frame: frame),
    "turned-90": ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1)),
    "turned-180": ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
    "turned-270": ((0, 1, -1, 0), lambda frame: np.rot90(frame, 3)),
    "mirrored-left-right": ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),
    "mirrored-top-bottom": ((1, 0, 0, -1), lambda frame: frame[::-1]),
    "transposed": ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
    "transposed-and-turned-180": ((0, -1, -1, 0), lambda frame: np.rot90(frame.transpose(1, 0, 2), 2)),
}


@pytest.mark.parametrize("name", sorted(DECODERS))
@pytest.mark.parametrize("symmetry", sorted(SYMMETRIES))
def test_all_eight_display_matrices_are_applied(clip, symmetry, name):
    matrix, display = SYMMETRIES[symmetry]
    stored = decoder("pyav").decode(clip(), [0, 7])
    data = with_display_matrix(clip(), *matrix)
    frames = decoder(name).decode(data, [0, 7])
    assert np.array_equal(frames, np.stack([display(frame) for frame in stored]))
    probe = decoder(name).probe(data)
    assert (probe.height, probe.width) == frames.shape[1:3]
    assert probe.mirrored == ("mirrored" in symmetry or "transposed" in symmetry)


def test_angles_between_quarter_turns_are_rounded_to_the_nearest():
    def matrix(degrees: float) -> bytes:
        cos, sin = (round(f(np.radians(degrees)) * ONE) for f in (np.cos, np.sin))
        return struct.pack("=9i", cos, -sin, 0, sin, cos, 0, 0, 0, 1 << 30)

    assert [Orientation.from_matrix(matrix(angle)).rotation for angle in (0, 3, 88, 90, 181, 269, 359)] == [
        0, 0, 90, 90, 180, 270, 0,
    ]  # fmt: skip
    assert Orientation.from_matrix(bytes(36)) == Orientation.from_matrix(None) == Orientation()


@pytest.mark.parametrize("name", sorted(DECODERS))
@pytest.mark.parametrize(("aspect", "size"), [("2:1", (832, 240)), ("1:2", (416, 480)), ("16:15", (444, 240))])
def test_anamorphic_frames_are_stretched_to_square_pixels(clip, name, aspect, size):
    data = clip(pixel_aspect=aspect)
    probe = decoder(name).probe(data)
    assert (probe.width, probe.height) == size
    frames = decoder(name).decode(data, [0, 29])
    assert frames.shape == (2, size[1], size[0], 3)
    square = decoder("pyav").decode(clip(), [0, 29])
    expected = np.stack([to_square_pixels(frame, Fraction(aspect.replace(":", "/"))) for frame in square])
    assert np.array_equal(frames, expected)


@pytest.mark.parametrize("aspect", ["404:405", "1:1"])
def test_almost_square_pixels_are_not_resampled(clip, aspect):
    data = clip(pixel_aspect=aspect)
    assert np.array_equal(decoder().decode(data, [3]), decoder().decode(clip(), [3]))


def test_extreme_pixel_aspects_are_refused(clip):
    with pytest.raises(InvalidMedia, match="pixel aspect of 9:1, over 4:1; write it with square pixels"):
        decoder().probe(clip(pixel_aspect="9:1"))
    with pytest.raises(InvalidMedia, match="pixel aspect of 1:9"):
        display_size(100, 100, Fraction(1, 9))


def test_unknown_pixel_aspects_count_as_square():
    assert display_size(100, 50, None) == display_size(100, 50, Fraction(0)) == (100, 50)
