"""The policy of a run: its sizes before it is loaded, and the loaded policy, which can use the run's prompts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from ..config import GrpoConfig
from ..policies.base import PreparesPrompts, StatesShift, VideoPolicy
from ..policies.check import check_policy
from ..policies.load import find_sizes, load_policy
from ..policies.sizes import PolicySizes
from ..prompts import Prompt

log = logging.getLogger("identity_reward.trainer")


def policy_sizes(config: GrpoConfig, prompts: Sequence[Prompt]) -> PolicySizes | None:
    """Sizes of the configuration's policy for the prompt with most references; None where the policy states none.

    Raises the errors of `find_sizes` and `StatesSizes.policy_sizes`.
    """
    stated = find_sizes(config.policy.factory)
    if stated is None:
        return None
    references = max((len(prompt.references) for prompt in prompts), default=1)
    return stated.policy_sizes(
        config.policy.factory, config.policy.options, references, config.adapter.rank, config.precision == "bf16"
    )


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
