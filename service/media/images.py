"""Image messages to uint8 RGB arrays [H, W, 3]: raw pixels are copied, files are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from identity_reward_client.errors import InputRefused, InvalidRequest, LimitExceeded
from identity_reward_client.messages import Image, Video
from reward_model.decoding.images import ImageRule
from reward_model.decoding.media_decoder import MediaDecoder

from ..settings.groups import MediaSettings


def refuse_links(message: Image | Video, label: str) -> None:
    """Raise InputRefused, whose message starts with `label`, for a URL or path."""
    for name in ("url", "path"):
        if getattr(message, name) is not None:
            raise InputRefused(f"{label} was given as a {name}, which this server doesn't accept; send its bytes")


def refuse_duplicates(references: Sequence[Image]) -> None:
    """Raise InvalidRequest if two references are the same image: each shows another person, so one is a mistake."""
    for (i, first), (j, second) in combinations(enumerate(references), 2):
        if _same_content(first, second):
            raise InvalidRequest(
                f"references {i} and {j} are the same image; each reference shows another person",
                details={"references": [i, j]},
            )


def _same_content(first: Image, second: Image) -> bool:
    if first.pixels is not None and second.pixels is not None:
        return first.pixels.shape == second.pixels.shape and _same_bytes(first.pixels.data, second.pixels.data)
    if first.data is not None and second.data is not None:
        return _same_bytes(first.data, second.data)
    return False


def _same_bytes(first: bytes | memoryview, second: bytes | memoryview) -> bool:
    return len(first) == len(second) and np.array_equal(np.frombuffer(first, np.uint8), np.frombuffer(second, np.uint8))


def decode_image(
    image: Image, limits: MediaSettings, decoder: MediaDecoder, label: str = "the image", rule: ImageRule = "upright"
) -> np.ndarray:
    """uint8 RGB [H, W, 3]. Raises InvalidMedia, LimitExceeded or InputRefused, whose message starts with `label`."""
    refuse_links(image, label)
    if image.pixels is None:
        return decoder.image(image.data or b"", label, limits.max_image_pixels, rule)
    height, width, _ = image.pixels.shape
    if width * height > limits.max_image_pixels:
        raise LimitExceeded(
            f"{label} is {width}x{height}, {width * height} pixels; at most {limits.max_image_pixels} are allowed",
            details={"limit": "max_image_pixels", "maximum": limits.max_image_pixels},
        )
    return np.frombuffer(image.pixels.data, np.uint8).reshape(height, width, 3).copy()
