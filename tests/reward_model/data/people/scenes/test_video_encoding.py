import numpy as np
import pytest

from reward_model.data.people.scenes.video_encoding import compress, encode_mp4
from reward_model.decoding.decoders import decode_frames, probe

COLOURS = np.stack([np.full((48, 84, 3), colour, np.uint8) for colour in ((200, 40, 60), (30, 180, 90), (20, 60, 220))])


@pytest.mark.parametrize("size", [(48, 84), (240, 416), (34, 50)])
def test_same_frames_give_same_bytes(size):
    frames = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    first = encode_mp4(frames, 16.0, 23)
    for n in range(15):
        # fills freed memory, so that bytes which the encoder leaves uninitialized would differ
        junk = [np.full(100_000 + 4096 * n * k, n, np.uint8) for k in range(3)]
        assert encode_mp4(np.array(frames), 16.0, 23) == first
        del junk


def test_colours_survive_encoding_and_decoding():
    data = encode_mp4(COLOURS, 16.0, 20)
    decoded = decode_frames(data, range(3))
    assert probe(data).fps == 16.0
    assert np.abs(decoded.astype(int) - COLOURS).max() <= 4
    assert np.array_equal(decoded, compress(COLOURS, 16.0, 20))
