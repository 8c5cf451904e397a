"""Image messages to uint8 RGB arrays [H, W, 3]: raw pixels are copied, files are decoded."""

from __future__ import annotations

import numpy as np

from identity_reward_client.errors import InputRefused, LimitExceeded
from identity_reward_client.messages import Image, Video
from reward_model.decoding.images import ImageRule
from reward_model.decoding.media_decoder import MediaDecoder

from ..settings.groups import MediaSettings


def refuse_links(message: Image | Video, label: str) -> None:
    """Raise InputRefused, whose message starts with `label`, for a URL or path."""
    for name in ("url", "path"):
        if getattr(message, name) is not None:
            raise InputRefused(f"{label} was given as a {name}, which this server doesn't accept; send its bytes")


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
