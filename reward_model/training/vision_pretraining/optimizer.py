"""How the first stage's weights are moved: Muon where matrices are, AdamW elsewhere."""

from __future__ import annotations

import torch

from ..configs.vision_pretraining import HeadsConfig
from .losses import HeadReader


def build_optimizers(reader: HeadReader, config: HeadsConfig) -> list[torch.optim.Optimizer]:
    """`base_lr` of a group is its rate at the top of the schedule. Muon: Jordan et al. 2024, "Muon: An optimizer for
    hidden layers in neural networks"."""
    options = config.optimizer
    matrices: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in reader.named_parameters():
        hidden = config.muon_rate is not None and parameter.ndim == 2 and name.startswith("tower.blocks.")
        (matrices if hidden else rest).append(parameter)
    built: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, config.rate, options.betas, options.eps, options.weight_decay)
    ]
    if config.muon_rate is not None:
        built.append(torch.optim.Muon(matrices, config.muon_rate, options.weight_decay))
    for optimizer in built:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return built
