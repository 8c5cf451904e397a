"""Optimizers of vision pretraining: Muon for the matrices of the tower's blocks, AdamW for the rest."""

from __future__ import annotations

import torch

from ..configs.vision_pretraining import VisionPretrainingConfig
from .losses import FaceReadout


def build_optimizers(readout: FaceReadout, config: VisionPretrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where `muon_rate` is set; `base_lr` of a group is its rate at the top of the schedule.

    Muon: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    options = config.optimizer
    matrices: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in readout.named_parameters():
        hidden = config.muon_rate is not None and parameter.ndim == 2 and name.startswith("tower.blocks.")
        (matrices if hidden else rest).append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, config.rate, options.betas, options.eps, options.weight_decay)
    ]
    if config.muon_rate is not None:
        optimizers.append(torch.optim.Muon(matrices, config.muon_rate, options.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers
