"""Reference images: read, fitted on a white canvas, and encoded once each. R references, C channels, h x w latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import torch
from cachetools import LRUCache
from PIL import Image

from trainer.errors import PolicyError
from trainer.prompts.references import read_upright

from .vae import WanVae

# an image, fitted on a canvas: float32 [3, H, W] in -1..1
Fit = Callable[[Image.Image], torch.Tensor]
# latents of distinct images that are kept; 100 kB each at 832 x 480
_KEPT = 4096


class ReferenceEncoder:
    """Latents of reference images. An image is known by its bytes, whatever its path."""

    def __init__(self, vae: WanVae, fit: Fit):
        """`fit` places an image on the canvas of the videos."""
        self._vae, self._fit = vae, fit
        self._latents: LRUCache[bytes, torch.Tensor] = LRUCache(_KEPT)

    def encode(self, paths: Sequence[Path]) -> torch.Tensor:
        """[R, C, h, w] on the CPU, in the VAE's data type. PolicyError for a file that is no image."""
        return torch.stack([self._encode_one(path) for path in paths])

    def _encode_one(self, path: Path) -> torch.Tensor:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise PolicyError(f"the reference {path} can't be read: {error}") from None
        key = sha256(data).digest()
        if key not in self._latents:
            try:
                # as diffusers' `load_image` gives it: transparency is dropped and not composited
                canvas = self._fit(read_upright(BytesIO(data)))
            except (OSError, ValueError) as error:
                raise PolicyError(f"the reference {path} can't be used: {error}") from None
            self._latents[key] = self._vae.encode(canvas[:, None])[:, 0].cpu()
        return self._latents[key]


def fitted_size(height: int, width: int, canvas_height: int, canvas_width: int) -> tuple[int, int]:
    """Height and width of an image scaled to fit a canvas, truncated. PolicyError where nothing is left of it."""
    scale = min(canvas_height / height, canvas_width / width)
    size = int(height * scale), int(width * scale)
    if min(size) < 1:
        raise PolicyError(f"an image of {width} x {height} pixels is too narrow for {canvas_width} x {canvas_height}")
    return size


def centred_on_white(image_3hw: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[3, H, W] of ones with the image in the middle; an odd pixel more is below it and on its right."""
    top, left = (height - image_3hw.shape[1]) // 2, (width - image_3hw.shape[2]) // 2
    canvas = torch.ones(3, height, width)
    canvas[:, top : top + image_3hw.shape[1], left : left + image_3hw.shape[2]] = image_3hw
    return canvas
