import numpy as np
import pytest

from reward_model.data.people.scenes.degradation import compressed, encode, lower_resolution
from reward_model.decoding.decoders import decode_frames, probe

RAMP = np.stack([np.full((48, 84, 3), colour, np.uint8) for colour in ((200, 40, 60), (30, 180, 90), (20, 60, 220))])


@pytest.mark.parametrize("size", [(48, 84), (240, 416), (34, 50)])
def test_the_same_frames_give_the_same_bytes(size):
    frames = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    first = encode(frames, 16.0, 23)
    for n in range(15):
        junk = [np.full(100_000 + 4096 * n * k, n, np.uint8) for k in range(3)]  # the encoder finds its memory used
        assert encode(np.array(frames), 16.0, 23) == first
        del junk


def test_colours_come_out_as_they_went_in():
    data = encode(RAMP, 16.0, 20)
    decoded = decode_frames(data, range(3))
    assert probe(data).fps == 16.0
    assert np.abs(decoded.astype(int) - RAMP).max() <= 4
    assert np.array_equal(decoded, compressed(RAMP, 16.0, 20))


def test_resolution_is_kept_at_one():
    assert np.array_equal(lower_resolution(RAMP[0], 1.0), RAMP[0])
    assert lower_resolution(RAMP[0], 0.2).shape == RAMP[0].shape
