"""Objectives by the name of the loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..config import GrpoConfig
from ..policies.base import VideoPolicy
from .nft import Nft
from .policy_gradient import PolicyGradient
from .updater import Objective


def build_objective(
    config: GrpoConfig,
    policy: VideoPolicy,
    network: torch.nn.Module,
    sampling_network: torch.nn.Module,
    trained: Mapping[str, torch.nn.Parameter],
) -> Objective:
    """The objective of `loss.kind`; arguments as of `Nft`."""
    if config.loss.kind == "nft":
        return Nft(config, policy, network, sampling_network, trained)
    return PolicyGradient(config, policy, network, sampling_network)
