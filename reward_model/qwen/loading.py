"""Loads a reward model, or its scorer, from the folder that an import or a training run wrote."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..checkpoint import check_same, model_dtype
from ..folder import CONFIG, WEIGHTS, CheckpointError, read_config
from .model import RewardModel
from .runner.config import RunnerConfig
from .scorer import QwenScorer
from .tokenizer import TextTokenizer, load_tokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_folder(
    folder: str | Path, device: str = "cpu", dtype: str | None = None, runner: RunnerConfig = RunnerConfig()
) -> QwenScorer:
    """The scorer of a reward model. `dtype`: float32, bfloat16, or None for the device's default.

    CheckpointError, one line long, when the folder holds no whole reward model or `dtype` is unknown.
    """
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"dtype is {' or '.join(DTYPES)}, got {dtype!r}")
    model, tokenizer = load_model(Path(folder), device, DTYPES[dtype] if dtype else None)
    return QwenScorer(model, tokenizer, runner)


def load_model(
    folder: Path, device: str = "cpu", dtype: torch.dtype | None = None
) -> tuple[RewardModel, TextTokenizer]:
    """The model on `device`, its body in `dtype` (default: bfloat16 on CUDA, float32 on the CPU).

    The weights' hash is compared with the one in the config, so that a changed file cannot pass under an old
    fingerprint. CheckpointError when a file is missing, damaged or does not fit the config.
    """
    config = read_config(folder)
    dtype = dtype or (torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32)
    path = folder / WEIGHTS
    with path.open("rb") as file:
        digest = sha256()
        while chunk := file.read(1 << 24):
            digest.update(chunk)
    if digest.hexdigest() != config.weights_sha256:
        raise CheckpointError(f"{path} isn't the file that {CONFIG} was written with: it is damaged or was replaced")
    model = RewardModel(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_same(expected, shapes, str(path))
            state = {name: file.get_tensor(name).to(model_dtype(name, dtype)) for name in expected}
    except SafetensorError as error:
        raise CheckpointError(f"{path} can't be read: {error}") from None
    model.load_state_dict(state, assign=True)
    return model.to(device).eval().requires_grad_(False), load_tokenizer(folder)
