"""Wan's VAE with normalised latents. Shapes: B clips, C channels, F frames, T latent frames, h x w latent pixels."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import torch

from trainer.errors import PolicyError

from .components import diffusers_class


class WanVae:
    """Encodes and decodes clips one at a time, so that a clip depends on no other and memory stays that of one."""

    def __init__(self, autoencoder: Any):
        """PolicyError for an autoencoder of other statistics than those of Wan 2.1, which its transformers learned."""
        _require_statistics(autoencoder.config)
        self._autoencoder = autoencoder
        downsample = autoencoder.config.temperal_downsample
        # pixels per latent pixel, and frames per latent frame after the first
        self.spatial, self.temporal = 2 ** len(downsample), 2 ** sum(downsample)
        self.channels: int = autoencoder.config.z_dim
        self.dtype: torch.dtype = autoencoder.dtype
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=autoencoder.device).view(1, -1, 1, 1, 1)
            for values in (autoencoder.config.latents_mean, autoencoder.config.latents_std)
        )
        # the reciprocal first, as the pipelines compute it
        self._mean, self._scale = mean, 1 / std

    def latent_size(self, num_frames: int, height: int, width: int, patch: int = 2) -> tuple[int, int, int]:
        """(T, h, w) of a clip. PolicyError for sizes that the transformer's patches do not fit."""
        multiple = self.spatial * patch
        if num_frames % self.temporal != 1:
            raise PolicyError(f"num_frames is 1 more than a multiple of {self.temporal}, such as 33; got {num_frames}")
        if height % multiple or width % multiple:
            raise PolicyError(f"height and width are multiples of {multiple}; got {height} x {width}")
        return (num_frames - 1) // self.temporal + 1, height // self.spatial, width // self.spatial

    @torch.no_grad()
    def encode(self, clip_3FHW: torch.Tensor) -> torch.Tensor:
        """Normalised latents [C, T, h, w] of a clip in -1..1: the mode of their distribution."""
        clip = clip_3FHW[None].to(self._mean.device, self.dtype)
        mode = self._autoencoder.encode(clip).latent_dist.mode()
        latents: torch.Tensor = ((mode.float() - self._mean) * self._scale).to(self.dtype)
        return latents[0]

    @torch.no_grad()
    def decode(self, latents_BCThw: torch.Tensor) -> list[np.ndarray]:
        """Clips of normalised latents: uint8 RGB frames_THWC each, all their frames."""
        return [self._decode_one(latents) for latents in latents_BCThw]

    def _decode_one(self, latents_CThw: torch.Tensor) -> np.ndarray:
        latents = latents_CThw[None].to(self._mean.device, self.dtype)
        latents = latents / self._scale.to(self.dtype) + self._mean.to(self.dtype)
        clip = self._autoencoder.decode(latents, return_dict=False)[0][0].float()
        levels = ((clip * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return levels.permute(1, 2, 3, 0).cpu().numpy()


def _require_statistics(config: Any) -> None:
    """The statistics of Wan 2.1 are the defaults of diffusers' class."""
    defaults = signature(diffusers_class("AutoencoderKLWan").__init__).parameters
    for name in ("latents_mean", "latents_std"):
        expected, values = defaults[name].default, getattr(config, name)
        if len(values) != len(expected) or not np.allclose(values, expected, atol=1e-3):
            differing = sum(a != b for a, b in zip(values, expected, strict=False)) + abs(len(values) - len(expected))
            raise PolicyError(
                f"the VAE has other statistics than that of Wan 2.1: {differing} of {len(expected)} numbers of {name} "
                "differ. Take the VAE of the checkpoint"
            )
