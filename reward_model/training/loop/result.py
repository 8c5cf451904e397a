"""The trained model as a folder that can be served, exported and trained further."""

from __future__ import annotations

from pathlib import Path

import torch

from reward_model.checkpoint import TensorEntry, model_dtype, save
from reward_model.config import RewardModelConfig
from reward_model.qwen.loading import DTYPES
from reward_model.qwen.tokenizer import TextTokenizer

RESULT = "model"


def write_result(
    folder: Path, config: RewardModelConfig, tokenizer: TextTokenizer, state: dict[str, torch.Tensor], dtype: str
) -> RewardModelConfig:
    """Writes a RewardModel of the state dict `state`: the body in `dtype`, norm and reward head in float32."""
    entries = [
        TensorEntry(name, tuple(tensor.shape), model_dtype(name, DTYPES[dtype]), tensor.detach)
        for name, tensor in state.items()
    ]
    return save(folder, config, tokenizer.to_json(), entries)
