"""Work of one step of a run, in forward passes of one video."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import GrpoConfig
from trainer.policies.sizes import PolicySizes

from .memory import guidance_passes, trained_steps_of

# a forward pass with its backward pass, of twice its cost. With frozen weights the backward pass costs less: their own
# gradients are not computed
FORWARD_BACKWARD = 3


@dataclass(frozen=True)
class WorkPlan:
    """Counts of one step, over all processes; passes count one video each."""

    groups: int
    videos: int
    # passes of a velocity
    guidance_passes: int
    trained_steps: int
    sampling: int
    # without gradients: old log-probabilities or the old policy, and the base model of KL
    references: int
    # with gradients
    trained: int
    # again in the backward pass, by gradient checkpointing
    recomputed: int
    # by all sources
    reward_calls: int
    optimizer_steps: int

    @property
    def forwards(self) -> int:
        """Cost of a step, as a multiple of one forward pass of one video."""
        return self.sampling + self.references + FORWARD_BACKWARD * self.trained + self.recomputed


def plan_work(config: GrpoConfig, sizes: PolicySizes | None) -> WorkPlan:
    """Of the configuration; without sizes, guidance has two passes."""
    videos = config.groups_per_rollout * config.group_size
    passes = guidance_passes(config.sampling.guidance, sizes)
    steps = trained_steps_of(config)
    pairs = videos * steps * passes
    trained = pairs * config.passes
    updates = config.updates_per_rollout * config.passes
    # the only update of a rollout begins with the weights that sampled
    old = trained if config.loss.kind == "nft" else pairs if updates > 1 else 0
    return WorkPlan(
        groups=config.groups_per_rollout,
        videos=videos,
        guidance_passes=passes,
        trained_steps=steps,
        sampling=videos * config.sampling.num_steps * passes,
        references=old + (trained if config.loss.kl_weight else 0),
        trained=trained,
        recomputed=trained if config.gradient_checkpointing else 0,
        reward_calls=config.groups_per_rollout * len(config.rewards.sources),
        optimizer_steps=updates,
    )
