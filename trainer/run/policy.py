"""Opens the policy of a run, and checks that it can use the run's prompts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from ..config import GrpoConfig
from ..policies.base import PreparesPrompts, StatesShift, VideoPolicy
from ..policies.check import check_policy
from ..policies.load import load_policy
from ..prompts import Prompt

log = logging.getLogger("identity_reward.trainer")


def open_policy(config: GrpoConfig, prompts: Sequence[Prompt], device: torch.device) -> VideoPolicy:
    """The policy of the configuration, without LoRA, with all `prompts` prepared. Raises the errors of `load_policy`
    and `check_policy`; another shift than the checkpoint's is a warning."""
    policy = load_policy(config.policy.factory, config.policy.options, device)
    if isinstance(policy, StatesShift) and policy.flow_shift not in (None, config.sampling.shift):
        log.warning(
            "the checkpoint was made for a shift of %s, and sampling.shift is %s",
            policy.flow_shift,
            config.sampling.shift,
        )
    if isinstance(policy, PreparesPrompts):
        policy.prepare_prompts(prompts)
    check_policy(policy, prompts)
    return policy
