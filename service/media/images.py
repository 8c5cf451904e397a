"""Pictures on the wire to uint8 RGB [H, W, 3]: raw pixels are taken as they are, files go to the decoder."""

from __future__ import annotations

import numpy as np

from identity_reward_client.errors import InputRefused, LimitExceeded
from identity_reward_client.messages import Image, Video
from reward_model.decoding.images import ImageRule
from reward_model.decoding.media_decoder import MediaDecoder

from ..settings.groups import MediaSettings


def refuse_links(message: Image | Video, what: str) -> None:
    for name in ("url", "path"):
        if getattr(message, name) is not None:
            raise InputRefused(f"{what} was given as a {name}, which this server doesn't take; send its bytes")


def decode_picture(
    image: Image, limits: MediaSettings, decoder: MediaDecoder, what: str = "the picture", rule: ImageRule = "upright"
) -> np.ndarray:
    """uint8 RGB [H, W, 3]. InvalidMedia, LimitExceeded or InputRefused, whose message starts with `what`."""
    refuse_links(image, what)
    if image.pixels is None:
        return decoder.image(image.data or b"", what, limits.max_image_pixels, rule)
    height, width, _ = image.pixels.shape
    if width * height > limits.max_image_pixels:
        raise LimitExceeded(
            f"{what} is {width}x{height}, {width * height} pixels; at most {limits.max_image_pixels} are taken",
            details={"limit": "max_image_pixels", "maximum": limits.max_image_pixels},
        )
    return np.frombuffer(image.pixels.data, np.uint8).reshape(height, width, 3).copy()
