"""The folder that a reward model is kept in. Imports no torch: what can be said of a folder without loading it."""

from __future__ import annotations

from json import JSONDecodeError, loads
from pathlib import Path

from .config import RewardModelConfig

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


class CheckpointError(Exception):
    """A folder or file that can't be read as a reward model; one line that says what is wrong and what would do."""


def kind_of(folder: Path) -> str | None:
    """What a folder says that it holds other than a Qwen2.5-VL reward model: "face-tracks", or None."""
    try:
        values = loads((folder / CONFIG).read_text())
    except (OSError, UnicodeDecodeError, JSONDecodeError):
        return None
    return values.get("kind") if isinstance(values, dict) else None


def read_config(folder: Path) -> RewardModelConfig:
    """CheckpointError where `folder` isn't a whole reward model."""
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
