"""Configuration of the pretraining of a vision tower: a YAML file with `kind: vision-pretraining`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Count, ModelConfig, NonNegative, OptimizerConfig, Positive, RunConfig, Section, Share


class RenderedDataConfig(Section):
    """JSONL files in folders that `identity-reward data people` wrote, relative to the command's working directory."""

    # casts to train on
    clean: str | None = None
    # casts to measure on while training
    dev: str | None = None
    # clips of a cast in each step
    clips_per_cast: Count = 3
    # side in pixels, a multiple of 28, of square windows around faces that replace whole frames
    window: Annotated[int, Field(ge=56, multiple_of=28)] | None = None
    # share of windows that get a corruption (a face blurred or warped, or detail lost) beside those of the data set
    corrupted_share: Share = 0.0
    # threads that read and decode
    workers: Count = 2
    # steps that are loaded ahead
    prefetch: Count = 2

    @model_validator(mode="after")
    def _corruption_needs_windows(self) -> RenderedDataConfig:
        if self.corrupted_share and self.window is None:
            raise ValueError("corrupted_share is a share of windows; give window too, as in window: 84")
        return self


class VisionPretrainingConfig(RunConfig):
    """Configuration of `kind: vision-pretraining`."""

    kind: Literal["vision-pretraining"]
    data: RenderedDataConfig = RenderedDataConfig()
    model: ModelConfig = ModelConfig()
    # peak rate of AdamW
    rate: NonNegative = 1e-3
    # peak rate of Muon, for the matrices of the tower's blocks; unset: AdamW trains those too
    muon_rate: Positive | None = None
    # number of first batches whose patches whiten the patch embedding of a tower from scratch
    whitening: Count = 10
    # weight of the loss on the shape of faces, relative to the loss on the look of faces
    shape: NonNegative = 0.5
    # weight of the loss on corruptions
    corruption: NonNegative = 1.0
    # weight of the loss on the matching of faces to references
    matching: NonNegative = 0.3
    # weight of the loss on the attention of the language model's first layer
    attention: NonNegative = 0.3
    optimizer: OptimizerConfig = OptimizerConfig()
    # casts of a step
    batch: Count = 10
    # passes over all casts
    epochs: Positive = 10
    # bf16: computed under autocast
    precision: Literal["fp32", "bf16"] = "fp32"
    # of all random samples
    seed: int = 0
    # steps between measurements on dev
    evaluate_every: Count = 200
    # casts of dev in each measurement
    evaluate_casts: Count = 60
    # steps between saved states
    save_every: Count = 200
