"""What a training is told: one YAML file. Every field is checked when it is read; an unknown one is an error."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from identity_reward_client.preference import THETA

from ..preferences.losses import MARGIN

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class RunConfig(Section):
    """A whole file."""

    kind: str

    @classmethod
    def files_of(cls, folder: Path) -> list[str]:
        """--set of a data set's folder. One without train.jsonl is told of when it is read."""
        found = [f"data.clean={dumps(str(folder / 'train.jsonl'))}"]
        if (folder / "dev.jsonl").is_file():
            found.append(f"data.dev={dumps(str(folder / 'dev.jsonl'))}")
        return found


class DataConfig(Section):
    # JSONL files of preference pairs, by the folder that the command runs in
    # labelled by people, or exact
    clean: str | None = None
    # labelled by machines; filtered by a teacher as a rule
    auto: str | None = None
    # pairs to measure on while training
    dev: str | None = None
    # how the two pools are mixed
    sampler: Literal["random", "staged", "smooth"] = "smooth"
    # all pairs of a cast in one forward, every video once; `batch` and `micro_batch` then count casts
    groups: bool = False
    # references in a random order, anew for each draw
    permute_references: bool = False
    # references and videos mirrored at random
    mirror: bool = False
    # good videos of each draw that are shown once more beside other people's pictures, where they are the worse ones
    foreign_references: Annotated[int, Field(ge=0)] = 0
    # with a tower that isn't trained: folder in which its features of all pictures and videos are kept
    features: str | None = None
    # threads that read and decode, and steps that are ready before they are needed
    workers: Count = 2
    prefetch: Count = 2

    @model_validator(mode="after")
    def _dev_is_held_out(self) -> DataConfig:
        if self.dev is not None and self.dev in (self.clean, self.auto):
            raise ValueError(f"dev is {self.dev}, which is trained on too; give pairs of other people")
        return self


class ModelConfig(Section):
    # "scratch"; a folder that training or import-checkpoint wrote; or Qwen2.5-VL as Hugging Face stores it, on disk
    init: str = "scratch"
    # sizes of a model from scratch: a name of backbones.py
    backbone: str = "tiny"
    # a name of config.FRAME_SAMPLINGS or of the backbone's own; a folder of ours brings its own
    frame_sampling: str | None = None
    # identity-first, video-first, pictures, or with `upstream` one of that checkout; a folder of ours brings its own
    template: str | None = None
    # a checkout of the released Identity-GRPO code, whose templates are read and not run
    upstream: str | None = None
    # trained in full; the language model too, unless there is LoRA
    train_vision: bool = True
    train_language: bool = True
    train_head: bool = True
    # recompute activations in the backward pass
    gradient_checkpointing: bool = False
    # how the result is named and described, and the numbers its files are written in
    name: str = "identity-reward"
    version: str = "1"
    domain: str = "photographs"
    description: str = "Trained with identity-reward train-reward."
    saved_dtype: Literal["bfloat16", "float32"] = "bfloat16"


class LoraConfig(Section):
    """Low-rank updates of q, k, v, o, gate, up and down of the language model, arXiv 2106.09685."""

    r: Count = 64
    alpha: Positive = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05


class LearningRates(Section):
    # of AdamW at its highest; 0 freezes nothing, it only stands still
    language: Rate = 2e-6
    vision: Rate = 2e-6
    merger: Rate = 2e-6
    head: Rate = 2e-6
    # the embedding of the reward token with LoRA, all embeddings without
    embedding: Rate = 2e-6


class OptimizerConfig(Section):
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    eps: Positive = 1e-8
    # of matrices; norms, biases and embeddings have none
    weight_decay: Rate = 0.0
    schedule: Literal["constant_with_warmup", "cosine"] = "constant_with_warmup"
    # share of all steps in which the rates rise from 0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    # largest norm of the gradient of all parameters together
    grad_clip: Positive = 1.0


class LossConfig(Section):
    kind: Literal["btt", "bt", "margin"] = "btt"
    theta: Annotated[float, Field(gt=1, allow_inf_nan=False)] = THETA
    margin: Rate = MARGIN


class SupervisionConfig(Section):
    """What a model from scratch learns of rendered clips beside preferences (`heads.supervision`), and what each
    counts: attention from heads to their references, whether one of the references shows a head's person, and how
    severely a clip fails in every mode."""

    attention: Rate = 1.0
    matching: Rate = 1.0
    failures: Rate = 1.0
    # of preferences themselves; 0: none is learned
    preferences: Rate = 1.0


class TrainConfig(RunConfig):
    kind: Literal["reward"] = "reward"
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    lora: LoraConfig | None = None
    # for pairs in folders that `identity-reward data people` wrote
    supervision: SupervisionConfig | None = None
    learning_rates: LearningRates = LearningRates()
    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    # pairs of an optimiser step over all processes, and of one forward in one process
    batch: Count = 32
    micro_batch: Count = 4
    # one of the two: optimiser steps, or times that all pairs are seen
    steps: Count | None = None
    epochs: Positive | None = None
    # bf16: frozen weights in bfloat16, trained ones in float32, computed under autocast
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0
    # steps between measurements on dev, how many pairs of it are looked at, and steps between writings of the state
    evaluate_every: Count = 100
    evaluate_pairs: Count = 200
    save_every: Count = 100

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"exactly one of steps and epochs is needed, got {self.steps} and {self.epochs}")
        if self.data.features is not None and (self.model.train_vision or self.data.mirror):
            raise ValueError(
                "data.features wants a tower that stays as it is: model.train_vision and data.mirror false"
            )
        return self


# what may differ between a run and its resumption: none of it changes what is learned (micro_batch does where LoRA has
# dropout, whose draws are those of a forward)
FREE_TO_CHANGE = frozenset({
    "data.workers", "data.prefetch", "data.dev", "data.features", "evaluate_every", "evaluate_pairs", "save_every",
    "micro_batch", "workers", "cache",
    "model.gradient_checkpointing", "model.name", "model.version", "model.domain", "model.description",
    "model.saved_dtype",
})  # fmt: skip
