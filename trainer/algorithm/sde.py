"""Steps of a sampler that adds noise on its way, and their log-probabilities. Shapes: B samples, X latents of one.

Velocity is noise minus data, x = (1 - sigma) data + sigma noise, and d = sigma_next - sigma is negative. The rules
`identity-grpo` (arXiv 2510.14256, section 3.3), `flow-grpo` (2505.05470) and `dance-grpo` (2505.07818) share

    mean = x (1 + s^2 d / (2 sigma)) + v (1 + s^2 (1 - sigma) / (2 sigma)) d,    std = s sqrt(-d)

and differ in s. `cps` (2509.05952) mixes the predicted data and noise so that the amount of noise stays right.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sin, sqrt
from typing import Literal, get_args

import torch

Rule = Literal["identity-grpo", "identity-grpo-release", "flow-grpo", "dance-grpo", "cps", "ode"]

# noise levels that the authors of a rule use: flow_grpo for images, DanceGRPO for Wan, Flow-CPS
LEVELS = {"flow-grpo": 0.7, "dance-grpo": 0.3, "cps": 0.8}


@dataclass(frozen=True, eq=False)
class Transition:
    """The Gaussian of the next latents: float32 [B, X], and one standard deviation for all; 0 for an ODE step."""

    mean: torch.Tensor
    std: float


def transition(
    x: torch.Tensor,
    velocity: torch.Tensor,
    sigma: float,
    sigma_next: float,
    rule: str,
    *,
    sigma_1: float,
    level: float | None = None,
    mask: torch.Tensor | None = None,
) -> Transition:
    """The distribution of the latents at `sigma_next`.

    - identity-grpo: s = sigma, as in the paper; level scales it
    - identity-grpo-release: s = sigma sigma_1, as in the released code; level scales it
    - flow-grpo: s = level sqrt(sigma / (1 - sigma)), which grows without bound towards sigma 1: with sigma at most
      sigma_1 here
    - dance-grpo: s = level
    - cps: std = sigma_next sin(level pi / 2)
    - ode: Euler's step; std is 0

    Args:
        x: float [B, X], latents at `sigma`.
        velocity: float [B, X].
        sigma: in (0, 1].
        sigma_next: in [0, sigma).
        rule: one of `Rule`.
        sigma_1: the second noise level of the schedule.
        level: amount of noise; None is the rule's own (`LEVELS`, else 1).
        mask: bool, broadcastable to X; where it is False the step is that of `ode`.

    Raises:
        ValueError: an unknown rule, or sigmas out of order.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule is {rule!r}; there are {', '.join(get_args(Rule))}")
    if not 0 <= sigma_next < sigma <= 1:
        raise ValueError(f"a step goes from a sigma in (0, 1] to a smaller one, got {sigma} and {sigma_next}")
    x, velocity = x.float(), velocity.float()
    level = LEVELS.get(rule, 1.0) if level is None else level
    ode = x + velocity * (sigma_next - sigma)
    if rule == "ode":
        return Transition(ode, 0.0)
    if rule == "cps":
        x_factor, v_factor, std = _cps(sigma, sigma_next, level)
    else:
        x_factor, v_factor, std = _sde(sigma, sigma_next, _diffusion(rule, sigma, sigma_1, level))
    mean = x * x_factor + velocity * v_factor
    return Transition(mean if mask is None else torch.where(mask, mean, ode), std)


def log_prob(sample: torch.Tensor, mean: torch.Tensor, std: float, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Log density of `sample` under a `Transition`, as the mean over its counted dimensions: float32 [B].

    The mean over D dimensions instead of the sum makes a ratio of probabilities the D-th root of the true one, hence
    clip ranges of 1e-5 to 1e-3 (flow_grpo#143: the sum is unstable). For cps, flow_grpo leaves out 1 / (2 std^2), which
    weights the steps differently. ValueError where std is 0.
    """
    if not std > 0:
        raise ValueError("a step without noise has no density")
    constant = log(std) + 0.5 * log(2 * pi)
    return -masked_mean((sample.float() - mean.float()) ** 2, mask) / (2 * std**2) - constant


def masked_mean(values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean of [B, X] over the dimensions X where `mask`, bool and broadcastable to X, is True: [B]."""
    if mask is None:
        return values.flatten(1).mean(1)
    counted = mask.expand(values.shape[1:])
    return torch.where(counted, values, 0.0).flatten(1).sum(1) / counted.sum()


def _diffusion(rule: str, sigma: float, sigma_1: float, level: float) -> float:
    """s of the common form."""
    if rule == "dance-grpo":
        return level
    if rule == "flow-grpo":
        bounded = min(sigma, sigma_1)
        return level * sqrt(bounded / (1 - bounded))
    return level * sigma * (sigma_1 if rule == "identity-grpo-release" else 1.0)


def _sde(sigma: float, sigma_next: float, s: float) -> tuple[float, float, float]:
    """Factors of x and of the velocity in the mean, and the standard deviation."""
    d = sigma_next - sigma
    correction = s**2 / (2 * sigma)
    return 1 + correction * d, (1 + correction * (1 - sigma)) * d, s * sqrt(-d)


def _cps(sigma: float, sigma_next: float, level: float) -> tuple[float, float, float]:
    """As `_sde`: the predicted data x - sigma v and noise x + (1 - sigma) v, with part of the noise replaced."""
    std = sigma_next * sin(level * pi / 2)
    data, noise = 1 - sigma_next, sqrt(max(sigma_next**2 - std**2, 0.0))
    return data + noise, noise * (1 - sigma) - data * sigma, std
