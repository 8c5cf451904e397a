"""Requests to the slow model: videos of one grey frame, whose level is their reward and their time in milliseconds."""

import numpy as np

from tests.support.media import b64


def grey_video(level: int, nonce: int = 0) -> dict:
    """A video of one grey frame in JSON. `nonce` changes its content but not its mean, for levels of 8 to 247."""
    pixels = np.full((1, 16, 16, 3), level, np.uint8)
    if level < 255:
        pixels[0, 0, nonce % 16] += np.uint8(1 + nonce // 16 % 8)
        pixels[0, 1, nonce % 16] -= np.uint8(1 + nonce // 16 % 8)
    return {"frames": {"shape": list(pixels.shape), "data": b64(pixels.tobytes())}, "fps": 8}


def grey_request(level: int, nonce: int = 0) -> dict:
    """The body of `POST /v1/score` for one grey video."""
    reference = {"pixels": {"shape": [1, 1, 3], "data": b64(b"abc")}}
    return {"references": [reference], "video": grey_video(level, nonce)}
