"""Sampling without a trainer: Euler steps of the probability flow, for checks of the pretrained policy."""

from __future__ import annotations

from itertools import pairwise

import torch

from trainer.policies.base import Conditioning, VideoPolicy


@torch.no_grad()
def sample_latents(
    policy: VideoPolicy,
    conditioning: Conditioning,
    noise_BX: torch.Tensor,
    num_steps: int = 10,
    shift: float = 3.0,
    guidance: float = 1.0,
) -> torch.Tensor:
    """Latents [B, X] at noise level 0. shift: of the noise levels towards 1, as in Stable Diffusion 3."""
    linear = 1 - torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    sigmas = (shift * linear / (1 + (shift - 1) * linear)).tolist()
    latents = noise_BX
    for sigma, following in pairwise(sigmas):
        velocity = policy.velocity(policy.network, latents, round(1000 * sigma), conditioning, guidance)
        latents = latents + (following - sigma) * velocity
    return latents
