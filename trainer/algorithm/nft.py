"""DiffusionNFT (arXiv 2509.16117): a flow-matching loss that contrasts good with bad samples. Shapes as in `loss`.

It needs clean latents and advantages only: any sampler will do, and no trajectory is stored.
"""

from __future__ import annotations

import torch

from .sde import masked_mean

# smallest scale of a loss, in units of latents; that of DiffusionNFT's code
SMALLEST_ERROR = 1e-5


def optimality(advantages: torch.Tensor, clip_max: float) -> torch.Tensor:
    """Advantages in [-clip_max, clip_max] as probabilities that a sample is good: [B] in [0, 1]."""
    return (advantages / clip_max).clamp(-1, 1) / 2 + 0.5


def noised(clean: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
    """(1 - sigma) clean + sigma noise, in float32."""
    return (1 - sigma) * clean.float() + sigma * noise.float()


def nft_loss(
    velocity: torch.Tensor,
    old_velocity: torch.Tensor,
    clean: torch.Tensor,
    latents: torch.Tensor,
    sigma: float,
    optimality_B: torch.Tensor,
    beta: float,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """r L(v+) + (1 - r) L(v-) with v+ = beta v + (1 - beta) v_old and v- = (1 + beta) v_old - beta v: [B].

    L is the squared error of the predicted clean latents, divided by its mean absolute error without a gradient.

    Args:
        velocity: float [B, X], with gradients.
        old_velocity: float [B, X], of the policy that samples.
        clean: float [B, X], sampled latents.
        latents: float [B, X], `noised(clean, noise, sigma)`.
        sigma: in (0, 1].
        optimality_B: r in [0, 1].
        beta: how far the two velocities are from the old one, in (0, 1].
        mask: bool, broadcastable to X, the dimensions that count.
    """
    good = beta * velocity + (1 - beta) * old_velocity
    bad = (1 + beta) * old_velocity - beta * velocity
    good_loss, bad_loss = (_clean_error(latents - sigma * v, clean, mask) for v in (good, bad))
    return optimality_B * good_loss + (1 - optimality_B) * bad_loss


def _clean_error(predicted: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    error = predicted - clean
    scale = masked_mean(error.detach().abs(), mask).clamp(min=SMALLEST_ERROR)
    return masked_mean(error**2, mask) / scale
