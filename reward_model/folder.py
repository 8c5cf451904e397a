"""Folders of models: which kind they hold, and the config of a reward model. Imports no torch."""

from __future__ import annotations

from json import JSONDecodeError, loads
from pathlib import Path

from .config import RewardModelConfig

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


class CheckpointError(Exception):
    """A folder or file that is not a whole model; one line that says what is wrong and what would help."""


def kind_of(folder: Path) -> str | None:
    """The kind that the folder's `config.json` names ("face-tracks"); None for a Qwen2.5-VL reward model."""
    try:
        values = loads((folder / CONFIG).read_text())
    except (OSError, UnicodeDecodeError, JSONDecodeError):
        return None
    return values.get("kind") if isinstance(values, dict) else None


def read_config(folder: Path) -> RewardModelConfig:
    """The config of a reward model; CheckpointError unless `folder` holds a whole one."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder")
    missing = [name for name in (CONFIG, WEIGHTS, TOKENIZER) if not (folder / name).is_file()]
    if missing:
        upstream = (folder / "model_config.json").is_file() or any(folder.glob("checkpoint-*"))
        hint = (
            "; it looks like an upstream checkpoint: run `identity-reward import-checkpoint` on it" if upstream else ""
        )
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}{hint}")
    try:
        return RewardModelConfig.from_json(loads((folder / CONFIG).read_text()))
    except (JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} isn't a reward model's: {error}") from None
