"""What the first stage is told: one YAML file with `kind: heads`."""

from __future__ import annotations

from typing import Literal

from ..config import Count, ModelConfig, OptimizerConfig, Positive, Rate, RunConfig, Section


class HeadDataConfig(Section):
    # JSONL files in folders that `identity-reward data people` wrote, by the folder that the command runs in
    clean: str | None = None
    dev: str | None = None
    clips_per_cast: Count = 3
    workers: Count = 2
    prefetch: Count = 2


class HeadsConfig(RunConfig):
    kind: Literal["heads"]
    data: HeadDataConfig = HeadDataConfig()
    model: ModelConfig = ModelConfig()
    rate: Rate = 1e-3
    # of the matching loss, and of the first layer's attention, beside the error of the codes
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
