"""Layout of a checkpoint folder of the released code: settings, weights, tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from ..folder import CheckpointError
from .tensors import TensorFile, open_tensors

_WHOLE = ("model.pth", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_ADAPTER, _REST = "adapter_model.safetensors", "non_lora_state_dict.pth"


@dataclass(frozen=True)
class CheckpointLayout:
    """The parts of one checkpoint."""

    # model_config.json: data_config, model_config, peft_lora_config, maybe inference_config
    settings: dict[str, Any]
    # transformers' config.json, where there is one
    body: dict[str, Any] | None
    # the whole model, or the trained part and the LoRA matrices
    weights: tuple[TensorFile, ...]
    is_lora: bool
    step: str
    tokenizer: Path | None


def read_layout(folder: Path, step: int | None = None) -> CheckpointLayout:
    """The checkpoint of `step`, by default the highest; CheckpointError for a folder of another layout."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder")
    checkpoint = folder if _has_weights(folder) else _numbered_checkpoint(folder, step)
    root = folder if (folder / "model_config.json").is_file() else checkpoint.parent
    if not (root / "model_config.json").is_file():
        raise CheckpointError(
            f"{folder} is no checkpoint of the released code: {root.absolute() / 'model_config.json'} isn't there"
        )
    settings = read_json(root / "model_config.json")
    for part in ("data_config", "model_config", "peft_lora_config"):
        if not isinstance(settings.get(part), dict):
            raise CheckpointError(f"{root / 'model_config.json'} lacks {part}")
    whole = next((checkpoint / name for name in _WHOLE if (checkpoint / name).is_file()), None)
    names = (checkpoint / _REST, checkpoint / _ADAPTER)
    if whole is None and not all(name.is_file() for name in names):
        lacking = [name.name for name in names if not name.is_file()]
        raise CheckpointError(f"{checkpoint} holds {' without '.join(['half of a LoRA checkpoint', lacking[0]])}")
    paths = names if whole is None else (whole,)
    body = next((read_json(p / "config.json") for p in (checkpoint, root) if (p / "config.json").is_file()), None)
    tokenizers = (checkpoint / "tokenizer", root / "tokenizer", checkpoint, root)
    tokenizer = next((p for p in tokenizers if (p / "tokenizer.json").is_file() or (p / "vocab.json").is_file()), None)
    step_name = checkpoint.name.rpartition("-")[2] if checkpoint.name.startswith("checkpoint-") else "0"
    return CheckpointLayout(settings, body, tuple(map(open_tensors, paths)), whole is None, step_name, tokenizer)


def open_base(folder: Path) -> TensorFile:
    """The weights of the model that a LoRA checkpoint was trained from."""
    path = next((folder / name for name in _WHOLE if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{folder} holds no weights of the base model (model.safetensors or its shards)")
    return open_tensors(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; CheckpointError for a missing or malformed file."""
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there")
    try:
        return loads(path.read_text(encoding="utf-8"))
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} isn't JSON: {error}") from None


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*_WHOLE, _ADAPTER, _REST))


def _numbered_checkpoint(folder: Path, step: int | None) -> Path:
    numbered = {
        int(number): path
        for path in folder.glob("checkpoint-*")
        if path.is_dir() and (number := path.name.rpartition("-")[2]).isdecimal()
    }
    if not numbered:
        raise CheckpointError(f"{folder} holds neither weights nor folders checkpoint-NUMBER")
    if step is not None and step not in numbered:
        raise CheckpointError(f"{folder} has no checkpoint-{step}; it has {', '.join(map(str, sorted(numbered)))}")
    return numbered[max(numbered) if step is None else step]
