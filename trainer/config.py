"""Configuration of a GRPO run: a YAML file with `kind: grpo`.

"Paper" is Identity-GRPO, arXiv 2510.14256, section 4.2; "release" its code, alibaba/identity-grpo at 337ccb4. The
defaults are the paper's, and the release's where the paper is silent. `profile: release` changes what both define
differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from identity_reward_client.preference import THETA
from reward_model.training.configs.base import (
    Count,
    NonNegative,
    OptimizerConfig,
    Positive,
    RunConfig,
    Section,
    Share,
    Theta,
)
from reward_model.training.configs.files import flat, read_config

from .advantages import CLIP_MAX, EPS, AdvantageName
from .algorithm.loss import PolicyLossName
from .configs.sampling import EvaluationSamplingConfig, SamplingConfig

SHIPPED = Path(__file__).parent / "configs"
# fields that may differ between a run and its resumption
FREE_TO_CHANGE = frozenset({"save_every", "evaluate_every", "gradient_checkpointing"})
# values of the released code where it differs from the paper
RELEASE: dict[str, Any] = {
    # diffusers 0.35, which the release pins
    "sampling": {"schedule": "wan", "rule": "identity-grpo-release", "noisy_last_step": True},
    # the KL term that equation 8 omits
    "loss": {"kl_weight": 0.004},
    # each update holds members of 32 groups, and the second one is off-policy
    "updates_per_rollout": 2,
    "scatter_members": True,
}
PROFILES: dict[str, dict[str, Any]] = {"paper": {}, "release": RELEASE}


class PolicyConfig(Section):
    """The video model under training."""

    # where it comes from: "module:factory"
    factory: str
    # keyword arguments of the factory
    options: dict[str, Any] = Field(default_factory=dict)


class DataConfig(Section):
    """Files of prompts with reference images, CSV as released or JSONL."""

    # prompts to train on
    prompts: str
    # prompts of other people, to measure on
    evaluation_prompts: str | None = None


class AdapterConfig(Section):
    """LoRA (arXiv 2106.09685) on the policy's network."""

    # rank; release
    rank: Count = 32
    # the update is scaled by alpha / rank; release
    alpha: Positive = 32
    # PEFT folder of weights to start from. The release starts from its published LoRA, the paper from the base model
    init: str | None = None


class AdvantageConfig(Section):
    """How rewards become advantages; see trainer.advantages."""

    # group: equation 7; global-std: the deviation over all groups; win-rate: equation 7 on win rates;
    # per-reward: each reward by equation 7, then their weighted sum
    kind: AdvantageName = "group"
    # added to the standard deviation; release
    eps: NonNegative = EPS
    # largest absolute advantage; release
    clip_max: Positive = CLIP_MAX
    # tie parameter of win-rate; paper, section 3.2
    theta: Theta = THETA
    # of win-rate: the factor of reward differences, as the model's info states it
    preference_scale: Positive = 1.0


class NftConfig(Section):
    """DiffusionNFT (arXiv 2509.16117): trained on noised clean latents, without log-probabilities."""

    # how far the contrasted velocities are from the old one; 1 is the new velocity itself. Not of a paper
    beta: Share = 1.0
    # noise levels that each video is trained on; not of a paper
    timesteps: Count = 8
    # decay of the old policy towards the new one in update n: min(rise * n, limit). DiffusionNFT's code has three such
    # schedules; these numbers are not of a paper
    old_decay_rise: NonNegative = 0.001
    # limit of that decay
    old_decay_limit: Share = 0.5


class GrpoLossConfig(Section):
    """The objective of an update; see trainer.algorithm."""

    # clip: equation 8; guard: GRPO-Guard, with a clip_range of about 2e-6; nft: DiffusionNFT
    kind: PolicyLossName | Literal["nft"] = "clip"
    # of the ratio around 1, for probabilities that are means over dimensions; paper
    clip_range: Positive = 1e-3
    # of the KL divergence from the base model; equation 8 has none
    kl_weight: NonNegative = 0.0
    nft: NftConfig = NftConfig()


class AdamWConfig(OptimizerConfig):
    """AdamW and its learning rate."""

    # at the top of the schedule; release
    learning_rate: Positive = 1e-4
    # release
    weight_decay: NonNegative = 1e-4
    # share of all steps in which the rate rises from 0; release
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


class EmaConfig(Section):
    """Moving average of the trained weights, updated once an update."""

    # decay in update n is min((1 + n) / (10 + n), decay); release
    decay: Share = 0.9


class GrpoConfig(RunConfig):
    """Configuration of `kind: grpo`."""

    free_to_change: ClassVar[frozenset[str]] = FREE_TO_CHANGE

    kind: Literal["grpo"] = "grpo"
    # paper, or release: the defaults of what the two define differently
    profile: Literal["paper", "release"] = "paper"
    policy: PolicyConfig
    data: DataConfig
    adapter: AdapterConfig = AdapterConfig()
    sampling: SamplingConfig = SamplingConfig()
    evaluation_sampling: EvaluationSamplingConfig = EvaluationSamplingConfig()
    advantages: AdvantageConfig = AdvantageConfig()
    loss: GrpoLossConfig = GrpoLossConfig()
    optimizer: AdamWConfig = AdamWConfig()
    ema: EmaConfig = EmaConfig()
    # videos of a group; paper and release
    group_size: Annotated[int, Field(ge=2)] = 8
    # groups of an update, over all processes; paper
    groups_per_update: Count = 16
    # updates from one rollout, which has that many times more groups; paper: one, on-policy
    updates_per_rollout: Count = 1
    # compatibility with the release: an update holds members of all groups of its rollout instead of whole groups
    scatter_members: bool = False
    # passes over a rollout; release
    passes: Count = 1
    # videos of a group in one forward and backward pass. The ratio before the first update is exactly 1 in fp32 where
    # it equals sampling.batch; elsewhere old log-probabilities are computed again
    micro_batch: Count = 8
    # rollouts
    steps: Count = 100
    # fp32, or bf16: forward passes under autocast, LoRA and log-probabilities in float32; release
    precision: Literal["fp32", "bf16"] = "fp32"
    # recompute activations in the backward pass; release
    gradient_checkpointing: bool = False
    # of all random samples; release
    seed: int = 42
    # steps between measurements on the evaluation prompts
    evaluate_every: Count = 10
    # steps between saved states
    save_every: Count = 10

    @model_validator(mode="before")
    @classmethod
    def _with_profile(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return _merged(PROFILES.get(str(values.get("profile", "paper")), {}), values)

    @model_validator(mode="after")
    def _is_consistent(self) -> GrpoConfig:
        window, trainable = self.sampling.window, self.sampling.num_steps - 1
        if trainable < 1:
            raise ValueError("sampling.num_steps is 1; the last step isn't trained, so that at least 2 are needed")
        if window.kind != "all" and window.first + window.size > trainable:
            raise ValueError(
                f"sampling.window ends at step {window.first + window.size}, but only the first {trainable} of "
                f"{self.sampling.num_steps} steps can be trained"
            )
        if self.sampling.rule == "ode" and self.loss.kind != "nft":
            raise ValueError(
                f"sampling.rule ode adds no noise, and loss {self.loss.kind} needs some; use loss.kind nft"
            )
        if self.scatter_members and self.group_size % self.updates_per_rollout:
            raise ValueError(
                f"scatter_members divides groups of {self.group_size} among {self.updates_per_rollout} updates; "
                "give a multiple"
            )
        return self

    @property
    def groups_per_rollout(self) -> int:
        """Groups of a rollout, over all processes."""
        return self.groups_per_update * self.updates_per_rollout

    def profile_differences(self) -> list[str]:
        """What differs from the paper for the sake of the release's profile, one line each."""
        if self.profile == "paper":
            return []
        values = dict(flat(self.model_dump(mode="json")))
        fields = [key for key, _ in flat(PROFILES[self.profile])]
        defaults = dict(flat(_defaults()))
        lines = [f"{key} is {values[key]}; paper: {defaults[key]}" for key in fields if values[key] != defaults[key]]
        if self.adapter.init is None:
            lines.append("adapter.init is unset; the release starts from its published LoRA")
        else:
            lines.append(f"training starts from {self.adapter.init}; paper: from the base model")
        return lines


def read_grpo_config(name_or_path: str, overrides: Sequence[str] = ()) -> GrpoConfig:
    """A shipped configuration or a YAML file, with KEY=VALUE overrides. Raises TrainingError for what is not valid."""
    config = read_config(name_or_path, overrides, kinds={"grpo": GrpoConfig}, folder=SHIPPED)
    assert isinstance(config, GrpoConfig)
    return config


def _defaults() -> dict[str, Any]:
    return GrpoConfig(policy=PolicyConfig(factory=""), data=DataConfig(prompts="")).model_dump(mode="json")


def _merged(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values` over `defaults`, section by section."""
    both = {
        key: _merged(default, values[key])
        for key, default in defaults.items()
        if isinstance(default, dict) and isinstance(values.get(key), dict)
    }
    return {**defaults, **values, **both}
