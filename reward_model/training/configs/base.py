"""Configuration sections that several kinds of training share.

All sections are frozen; an unknown field is an error. Rates of optimizers are their values at the top of the schedule.
"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
# tie parameter of Bradley-Terry-with-Ties
Theta = Annotated[float, Field(gt=1, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


# fields that may differ between a run and its resumption: none of them changes what is learned (micro_batch does where
# LoRA has dropout, which is sampled for each forward pass)
FREE_TO_CHANGE = frozenset({
    "data.workers", "data.prefetch", "data.dev", "data.features", "evaluate_every", "evaluate_pairs", "save_every",
    "micro_batch", "workers", "cache",
    "model.gradient_checkpointing", "model.name", "model.version", "model.domain", "model.description",
    "model.saved_dtype",
})  # fmt: skip


class RunConfig(Section):
    """A whole YAML file: the configuration of one training run."""

    free_to_change: ClassVar[frozenset[str]] = FREE_TO_CHANGE

    kind: str

    @classmethod
    def data_overrides(cls, folder: Path) -> list[str]:
        """`--set` overrides that name the files of a data set's folder; a missing train.jsonl fails when it is read."""
        overrides = [f"data.clean={dumps(str(folder / 'train.jsonl'))}"]
        if (folder / "dev.jsonl").is_file():
            overrides.append(f"data.dev={dumps(str(folder / 'dev.jsonl'))}")
        return overrides


class ModelConfig(Section):
    """The Qwen2.5-VL reward model to start from, which parts of it are trained, and how the result is described."""

    # "scratch"; a folder that training or import-checkpoint wrote; or Qwen2.5-VL as Hugging Face stores it, on disk
    init: str = "scratch"
    # sizes of a model from scratch: a name of models.backbones.BACKBONES
    backbone: str = "tiny"
    # a name of models.backbones.SAMPLINGS; None: the backbone's own. A folder of ours brings its own
    frame_sampling: str | None = None
    # identity-first, video-first, images, or with `upstream` one of that checkout; a folder of ours brings its own
    template: str | None = None
    # a checkout of the released Identity-GRPO code, whose templates are read and not run
    upstream: str | None = None
    # train the vision tower in full
    train_vision: bool = True
    # train the language model, in full unless there is LoRA
    train_language: bool = True
    # train the reward head in full
    train_head: bool = True
    # recompute activations in the backward pass
    gradient_checkpointing: bool = False
    # name of the saved model, as score responses state it
    name: str = "identity-reward"
    # its version, as score responses state it
    version: str = "1"
    # domain of its training data in a word or two: photographs, rendered people
    domain: str = "photographs"
    # its description in the list of models
    description: str = "Trained with identity-reward train-reward."
    # data type of the saved weights
    saved_dtype: Literal["bfloat16", "float32"] = "bfloat16"


class OptimizerConfig(Section):
    """AdamW and the schedule of learning rates."""

    # decay rates of the two moments
    betas: tuple[NonNegative, NonNegative] = (0.9, 0.999)
    # added to the root of the second moment
    eps: Positive = 1e-8
    # weight decay of matrices; norms, biases and embeddings have none
    weight_decay: NonNegative = 0.0
    # learning rate after the warm-up: constant, or down to 0 by half a cosine
    schedule: Literal["constant_with_warmup", "cosine"] = "constant_with_warmup"
    # share of all steps in which the rates rise from 0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    # largest norm of the gradient of all parameters together
    grad_clip: Positive = 1.0
