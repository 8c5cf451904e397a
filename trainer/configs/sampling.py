"""Sections of sampling, for training and for evaluation.

"Paper" and "release" are those of `trainer.config`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reward_model.training.configs.base import Count, NonNegative, Positive, Section

from ..algorithm.schedule import ScheduleName
from ..algorithm.sde import Rule


class WindowConfig(Section):
    """Which steps are stochastic and trained; the others are ODE steps, and the last one never belongs to it.

    - all: every step; paper and release
    - fixed: `size` steps from step `first`; Flow-GRPO-Fast
    - progressive: the window moves by `stride` after every `every` rollouts, and begins again at `first`; MixGRPO
    - random: a start of its own for every rollout; MixGRPO
    """

    kind: Literal["all", "fixed", "progressive", "random"] = "all"
    # steps in the window; Flow-GRPO-Fast trains 3
    size: Count = 3
    # first step of the window
    first: Annotated[int, Field(ge=0)] = 0
    # steps by which a progressive window moves; MixGRPO moves by 1
    stride: Count = 1
    # rollouts between two moves; MixGRPO moves after 25
    every: Count = 25


class SamplingConfig(Section):
    """How videos of a group are sampled for training."""

    # table of noise levels: as of diffusers' UniPC, FlowMatchEuler, or Wan's own code
    schedule: ScheduleName = "unipc"
    # towards noise; VACE-1.3B as converted by diffusers has 3, Phantom 5
    shift: Positive = 3.0
    # steps of a rollout; paper and release
    num_steps: Count = 25
    # guidance while sampling and training; the release. 1: none, half the cost
    guidance: NonNegative = 4.5
    # how noise is added; paper: sigma_t = t
    rule: Rule = "identity-grpo"
    # amount of noise; unset: the rule's own
    noise_level: NonNegative | None = None
    # which steps are stochastic and trained; paper and release: all but the last
    window: WindowConfig = WindowConfig()
    # compatibility with the release: the last step leaves noise in the videos that are judged, and isn't trained
    noisy_last_step: bool = False
    # of a group's videos; table 4 of the paper finds different noise better
    initial_noise: Literal["different", "same"] = "different"
    # data type of stored latents; sampling goes on from the stored values
    storage_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    # videos of a group in one forward pass
    batch: Count = 8


class EvaluationSamplingConfig(Section):
    """How videos are sampled for evaluation: by an ODE, from noise that is the same in every evaluation."""

    # steps; paper and release
    num_steps: Count = 50
    # guidance; release
    guidance: NonNegative = 4.5
