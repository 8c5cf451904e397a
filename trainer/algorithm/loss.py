"""Losses of GRPO by name, for one step of a sampler. Shapes: B samples, X latents of one. All in float32.

`old` values are those of the policy that sampled. A ratio of probabilities is that of the mean log-probability (see
`sde.log_prob`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from .sde import masked_mean

PolicyLossName = Literal["clip", "guard"]


@dataclass(frozen=True, eq=False)
class StepValues:
    """One step of B samples under a policy: log-probabilities [B] and means [B, X] of the transition."""

    log_prob: torch.Tensor
    mean: torch.Tensor


@dataclass(frozen=True, eq=False)
class RatioLoss:
    """Loss of each sample [B] with its gradient; without it the ratio, and whether the clip holds its gradient at 0."""

    loss: torch.Tensor
    ratio: torch.Tensor
    clipped: torch.Tensor


@dataclass(frozen=True, eq=False)
class StepNoise:
    """What a step of the sampler adds: its standard deviation, d = sigma_next - sigma, and the counted dimensions."""

    std: float
    d: float
    mask: torch.Tensor | None = None


PolicyLoss = Callable[[StepValues, StepValues, torch.Tensor, StepNoise, float], RatioLoss]


def policy_loss(name: str) -> PolicyLoss:
    """The loss (new, old, advantages [B], step, clip range) -> RatioLoss. ValueError for an unknown name."""
    if name not in _LOSSES:
        raise ValueError(f"loss is {name!r}; there are {', '.join(_LOSSES)}")
    return _LOSSES[name]


def clip_loss(
    new: StepValues, old: StepValues, advantages: torch.Tensor, step: StepNoise, clip_range: float
) -> RatioLoss:
    """Equation 8 of arXiv 2510.14256, without its KL: -min(A r, A clip(r, 1 - range, 1 + range))."""
    return _clipped(new.log_prob - old.log_prob, advantages, clip_range)


def guard_loss(
    new: StepValues, old: StepValues, advantages: torch.Tensor, step: StepNoise, clip_range: float
) -> RatioLoss:
    """GRPO-Guard (arXiv 2510.22319): log ratios centred on 0 and of one scale in all steps, and the loss divided by -d.

    The log ratio is std (log p - log p_old) + mean((mu - mu_old)^2) / (2 std), which is the mean of the sampled noise
    times (mu - mu_old).
    """
    shift = masked_mean((new.mean - old.mean) ** 2, step.mask) / (2 * step.std)
    result = _clipped((new.log_prob - old.log_prob) * step.std + shift, advantages, clip_range)
    return RatioLoss(result.loss / -step.d, result.ratio, result.clipped)


def kl(mean: torch.Tensor, base_mean: torch.Tensor, step: StepNoise) -> torch.Tensor:
    """KL divergence from the base model's transition, as the mean over the counted dimensions: [B].

    `mean` has its gradient: a divergence computed without one trains nothing (Flow-Factory#122).
    """
    return masked_mean((mean - base_mean) ** 2, step.mask) / (2 * step.std**2)


def _clipped(log_ratio: torch.Tensor, advantages: torch.Tensor, clip_range: float) -> RatioLoss:
    ratio = log_ratio.exp()
    plain = -advantages * ratio
    bounded = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    return RatioLoss(torch.maximum(plain, bounded), ratio.detach(), (bounded > plain).detach())


_LOSSES: dict[str, PolicyLoss] = {"clip": clip_loss, "guard": guard_loss}
