"""The 96-channel control of VACE for generation from references, as diffusers' WanVACEPipeline builds it.

Channels: 16 of what stays as it is, 16 of what is generated, 64 of a mask (8 x 8 pixels of a latent one). Shapes: R
references, C = 16 channels, T latent frames, h x w latent pixels, H x W pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image

from trainer.errors import PolicyError

from .references import centred_on_white, fitted_size

# diffusers: the last reference first, as the released adapter was trained; vace: as given, as in VACE's own code
ReferenceOrder = Literal["diffusers", "vace"]
MASK_CHANNELS = 64
# the pipeline first makes the sides of an image multiples of this
_MULTIPLE = 8


def fit_reference(image: Image.Image, height: int, width: int) -> torch.Tensor:
    """[3, H, W] in -1..1: the image in the middle of a white canvas, resized twice as the pipeline does."""
    size = image.width - image.width % _MULTIPLE, image.height - image.height % _MULTIPLE
    if not all(size):
        raise PolicyError(f"an image of {image.width} x {image.height} pixels has a side below {_MULTIPLE}")
    rounded = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32) / 255
    pixels = 2 * torch.from_numpy(rounded).permute(2, 0, 1) - 1
    fitted = torch.nn.functional.interpolate(
        pixels[None], size=fitted_size(size[1], size[0], height, width), mode="bilinear", align_corners=False
    )
    return centred_on_white(fitted[0], height, width)


def control_of(references_RChw: torch.Tensor, zeros_CThw: torch.Tensor, order: ReferenceOrder) -> torch.Tensor:
    """[96, R + T, h, w] from the latents of references and those of a clip of zeros.

    The frames of references come first; they stay as they are, so that their mask is 0.
    """
    references = references_RChw.flip(0) if order == "diffusers" else references_RChw
    frames = references.transpose(0, 1)
    # nothing of the video is given: both of its parts are the clip of zeros
    latents = torch.cat([torch.cat([frames, zeros_CThw], 1), torch.cat([torch.zeros_like(frames), zeros_CThw], 1)])
    mask = latents.new_ones(MASK_CHANNELS, *latents.shape[1:])
    mask[:, : len(references)] = 0
    return torch.cat([latents, mask])
