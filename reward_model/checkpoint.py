"""Writes reward models: a folder of `config.json`, `model.safetensors` and `tokenizer.json`.

Weights are written tensor by tensor, so that a model may be larger than memory; safetensors' own writer, which produces
the same bytes, needs every tensor at once. A folder is written under another name and renamed when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from json import dumps
from pathlib import Path

import torch

from .config import RewardModelConfig
from .folder import CONFIG, TOKENIZER, WEIGHTS, CheckpointError

_CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
# called with (bytes written, total bytes)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TensorEntry:
    """A tensor to be written: `read` returns it when it is written, not before."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of its values on disk."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def tensor_entries(state: dict[str, torch.Tensor]) -> list[TensorEntry]:
    """The entries of a state dict in memory."""
    return [TensorEntry(name, tuple(tensor.shape), tensor.dtype, tensor.detach) for name, tensor in state.items()]


def _chunks(tensors: Iterable[TensorEntry]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file: wide dtypes first, so that every tensor is aligned, then by name."""
    tensors = sorted(tensors, key=lambda entry: (-entry.dtype.itemsize, entry.name))
    header, start = {}, 0
    for entry in tensors:
        span = [start, start + entry.nbytes]
        header[entry.name] = {"dtype": _CODES[entry.dtype], "shape": list(entry.shape), "data_offsets": span}
        start = span[1]
    text = dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for entry in tensors:
        tensor = entry.read().detach().to("cpu", entry.dtype).contiguous()
        if tuple(tensor.shape) != entry.shape:
            raise CheckpointError(f"{entry.name} has shape {tuple(tensor.shape)} where {entry.shape} was announced")
        yield memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data)


def weights_sha256(tensors: Iterable[TensorEntry]) -> str:
    """SHA-256 of the weights file that `save` would write."""
    digest = sha256()
    for chunk in _chunks(tensors):
        digest.update(chunk)
    return digest.hexdigest()


def write_weights(
    path: Path, tensors: Iterable[TensorEntry], on_written: Callable[[int], None] = lambda count: None
) -> str:
    """Writes a safetensors file and returns its SHA-256; `on_written` gets the number of bytes of every chunk."""
    digest = sha256()
    with path.open("wb") as file:
        for chunk in _chunks(tensors):
            file.write(chunk)
            digest.update(chunk)
            on_written(len(chunk))
    return digest.hexdigest()


def save(
    folder: Path,
    config: RewardModelConfig,
    tokenizer_json: str,
    tensors: Iterable[TensorEntry],
    progress: Progress | None = None,
) -> RewardModelConfig:
    """Writes a new folder, whole or not at all, and returns the config with the hash of the weights.

    `tokenizer_json`: the text of `tokenizer.json`. CheckpointError when the folder exists or the disk is too full.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} exists already; give a folder that doesn't, or remove it")
    tensors = list(tensors)
    total = sum(entry.nbytes for entry in tensors)
    parent = folder.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parent).free
    if total + (64 << 20) > free:
        raise CheckpointError(f"{parent} has {free / 1e9:.1f} GB free and the model needs {total / 1e9:.1f} GB")
    partial = parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        written = 0

        def on_written(count: int) -> None:
            nonlocal written
            written += count
            if progress is not None:
                progress(min(written, total), total)

        config = replace(config, weights_sha256=write_weights(partial / WEIGHTS, tensors, on_written))
        (partial / CONFIG).write_text(dumps(config.to_json(), indent=1) + "\n")
        (partial / TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return config


def write_torch_file(path: Path, state: dict[str, torch.Tensor]) -> None:
    """Writes a state dict in PyTorch's own format, for programs that read no other."""
    torch.save(state, path)


def model_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype of one of the model's tensors: the body's `dtype`; float32 for the final norm and the reward head."""
    return dtype if name.startswith("body.") else torch.float32


def check_same(expected: dict[str, tuple[int, ...]], actual: dict[str, tuple[int, ...]], where: str) -> None:
    """CheckpointError that lists tensors (name -> shape) that are missing, unexpected or of another shape."""
    problems = [
        *[f"missing {name}" for name in sorted(expected.keys() - actual.keys())],
        *[f"unexpected {name}" for name in sorted(actual.keys() - expected.keys())],
        *[
            f"{name} is {list(actual[name])} instead of {list(expected[name])}"
            for name in sorted(expected.keys() & actual.keys())
            if actual[name] != expected[name]
        ],
    ]
    if problems:
        more = f" and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise CheckpointError(f"{where} doesn't fit the model: {'; '.join(problems[:12])}{more}")
