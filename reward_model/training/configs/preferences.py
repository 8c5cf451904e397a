"""Configuration of a training on preference pairs: a YAML file with `kind: reward`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from identity_reward_client.preference import THETA

from .base import Count, ModelConfig, NonNegative, OptimizerConfig, Positive, RunConfig, Section, Theta

# constant margin of VideoAlign's variant of Bradley-Terry
MARGIN = 0.57


class PairDataConfig(Section):
    """JSONL files of preference pairs, relative to the working directory of the command, and how they are sampled."""

    # labelled by people, or exact
    clean: str | None = None
    # labelled by machines; usually filtered by a teacher
    auto: str | None = None
    # pairs to measure on while training
    dev: str | None = None
    # mixture of the two pools, a name of preferences.samplers.SCHEDULES
    sampler: Literal["random", "staged", "smooth"] = "smooth"
    # all pairs of a cast in one forward pass, every video once; `batch` and `micro_batch` then count casts
    groups: bool = False
    # references in a new random order for each sample
    permute_references: bool = False
    # references and videos mirrored at random
    mirror: bool = False
    # good videos of each sample that are added once more, as the worse ones, beside reference images of other people
    foreign_references: Annotated[int, Field(ge=0)] = 0
    # folder that caches a frozen vision tower's features of all images and videos
    features: str | None = None
    # threads that read and decode
    workers: Count = 2
    # steps that are loaded ahead
    prefetch: Count = 2

    @model_validator(mode="after")
    def _dev_is_held_out(self) -> PairDataConfig:
        if self.dev is not None and self.dev in (self.clean, self.auto):
            raise ValueError(f"dev is {self.dev}, which is trained on too; give pairs of other people")
        return self


class LoraConfig(Section):
    """Low-rank updates of q, k, v, o, gate, up and down of the language model, arXiv 2106.09685."""

    # rank
    r: Count = 64
    # the update is scaled by alpha / r
    alpha: Positive = 128
    # probability of dropout before the update
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05


class LearningRates(Section):
    """Peak rates of AdamW by parameter group. A rate of 0 keeps a group's weights constant, but computes gradients."""

    # the language model, or its LoRA
    language: NonNegative = 2e-6
    # the vision tower
    vision: NonNegative = 2e-6
    # the projection of vision tokens into the language model
    merger: NonNegative = 2e-6
    # the reward head
    head: NonNegative = 2e-6
    # the embedding of the reward token with LoRA, all embeddings without
    embedding: NonNegative = 2e-6


class LossConfig(Section):
    """Preference loss; see preferences.losses."""

    # Bradley-Terry-with-Ties, Bradley-Terry, or Bradley-Terry with a margin
    kind: Literal["btt", "bt", "margin"] = "btt"
    # tie parameter of btt
    theta: Theta = THETA
    # margin of kind margin
    margin: NonNegative = MARGIN


class SupervisionConfig(Section):
    """Weights of the auxiliary losses on rendered clips; see supervision.losses.FaceSupervision."""

    # attention from a face to the reference image of the same person
    attention: NonNegative = 1.0
    # whether one of the references shows the person of a face
    matching: NonNegative = 1.0
    # severity of every corruption of a clip
    corruptions: NonNegative = 1.0
    # the preference loss itself; 0 turns it off
    preferences: NonNegative = 1.0


class PreferenceTrainingConfig(RunConfig):
    """Configuration of `kind: reward`."""

    kind: Literal["reward"] = "reward"
    data: PairDataConfig = PairDataConfig()
    model: ModelConfig = ModelConfig()
    # low-rank updates of the language model; unset: it is trained in full
    lora: LoraConfig | None = None
    # auxiliary losses, for pairs in folders that `identity-reward data people` wrote
    supervision: SupervisionConfig | None = None
    learning_rates: LearningRates = LearningRates()
    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    # pairs of an optimizer step, over all processes
    batch: Count = 32
    # pairs of one forward pass in one process
    micro_batch: Count = 4
    # optimizer steps; exactly one of steps and epochs is given
    steps: Count | None = None
    # passes over all pairs
    epochs: Positive | None = None
    # bf16: frozen weights in bfloat16, trained ones in float32, computed under autocast
    precision: Literal["fp32", "bf16"] = "fp32"
    # of all random samples
    seed: int = 0
    # steps between measurements on dev
    evaluate_every: Count = 100
    # pairs of each measurement
    evaluate_pairs: Count = 200
    # steps between saved states
    save_every: Count = 100

    @model_validator(mode="after")
    def _is_consistent(self) -> PreferenceTrainingConfig:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"exactly one of steps and epochs is needed, got {self.steps} and {self.epochs}")
        if self.data.features is not None and (self.model.train_vision or self.data.mirror):
            raise ValueError("data.features needs a frozen vision tower: set model.train_vision and data.mirror false")
        return self
