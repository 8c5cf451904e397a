"""Learning rates over time, as functions of the step number alone: a resumed run needs no scheduler state."""

from __future__ import annotations

from math import cos, pi

import torch

from ..configs.base import OptimizerConfig


def rate_factor(step: int, num_steps: int, config: OptimizerConfig) -> float:
    """Factor on the peak rates in step 0, 1, ...: a linear warm-up to 1, then constant or a half cosine to 0.

    The first step has a rate above 0; transformers' schedules begin with a step of rate 0.
    """
    warmup = max(1, round(config.warmup * num_steps)) if config.warmup else 0
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant_with_warmup":
        return 1.0
    return 0.5 * (1 + cos(pi * (step - warmup) / max(1, num_steps - warmup)))


def set_rates(optimizer: torch.optim.Optimizer, step: int, num_steps: int, config: OptimizerConfig) -> None:
    """Sets `lr` of every parameter group to its `base_lr` times the factor of the step."""
    scale = rate_factor(step, num_steps, config)
    for group in optimizer.param_groups:
        group["lr"] = scale * group["base_lr"]
