"""Reference images on the canvas of the videos as Phantom's own code places them.

Unlike there, a photo is turned by its EXIF orientation when it is read, as for every policy here.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from trainer.errors import PolicyError

from .references import centred_on_white


def fit_reference(image: Image.Image, height: int, width: int) -> torch.Tensor:
    """[3, H, W] in -1..1: the image in the middle of a white canvas, resized once, by Lanczos."""
    # both sizes from the ratio of the image, as the original: another order of the arithmetic truncates differently
    ratio = image.width / image.height
    size = (width, int(width / ratio)) if ratio > width / height else (int(height * ratio), height)
    if min(size) < 1:
        raise PolicyError(f"an image of {image.width} x {image.height} pixels is too narrow for {width} x {height}")
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32) / 255
    return centred_on_white((torch.from_numpy(pixels).permute(2, 0, 1) - 0.5) / 0.5, height, width)
