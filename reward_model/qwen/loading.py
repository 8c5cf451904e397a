"""The scorer of a folder: an imported checkpoint, or one trained here."""

from __future__ import annotations

from pathlib import Path

import torch

from ..checkpoint import load as load_checkpoint
from ..folder import CheckpointError
from .runner.config import RunnerConfig
from .scorer import QwenScorer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_folder(
    folder: str | Path, device: str = "cpu", dtype: str | None = None, runner: RunnerConfig = RunnerConfig()
) -> QwenScorer:
    """CheckpointError says in one line what a folder lacks. `dtype`: float32, bfloat16 or the device's default."""
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"dtype is {' or '.join(DTYPES)}, got {dtype!r}")
    model, tokenizer = load_checkpoint(Path(folder), device, DTYPES[dtype] if dtype else None)
    return QwenScorer(model, tokenizer, runner)
