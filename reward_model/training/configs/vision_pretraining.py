"""What the first stage is told: one YAML file with `kind: heads`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .preferences import Count, ModelConfig, OptimizerConfig, Positive, Rate, RunConfig, Section


class HeadDataConfig(Section):
    # JSONL files in folders that `identity-reward data people` wrote, by the folder that the command runs in
    clean: str | None = None
    dev: str | None = None
    clips_per_cast: Count = 3
    # side in pixels, of 28 each, of the squares around heads that are looked at instead of whole frames
    window: Annotated[int, Field(ge=56, multiple_of=28)] | None = None
    # the share of windows in which a head is blurred or warped, or detail lost, beside those of clips that fail so
    harmed: Annotated[float, Field(ge=0, le=1)] = 0.0
    workers: Count = 2
    prefetch: Count = 2

    @model_validator(mode="after")
    def _windows(self) -> HeadDataConfig:
        if self.harmed and self.window is None:
            raise ValueError("harmed is a share of windows; give window too, as in window: 84")
        return self


class HeadsConfig(RunConfig):
    kind: Literal["heads"]
    data: HeadDataConfig = HeadDataConfig()
    model: ModelConfig = ModelConfig()
    # of AdamW; of Muon for the matrices of the tower's blocks, which AdamW trains too where there is none
    rate: Rate = 1e-3
    muon_rate: Positive | None = None
    # the first batches, by whose patches a tower from scratch is told what patches look like
    whitening: Count = 10
    # what each part of the loss counts beside the look of heads: the shape of faces, harm, which reference is a
    # head's, and whether the language model's first layer attends to it
    shape: Rate = 0.5
    harm: Rate = 1.0
    matching: Rate = 0.3
    attention: Rate = 0.3
    optimizer: OptimizerConfig = OptimizerConfig()
    # casts of a step
    batch: Count = 10
    epochs: Positive = 10
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0
    evaluate_every: Count = 200
    # casts of dev that are looked at
    evaluate_casts: Count = 60
    save_every: Count = 200
