"""Parts of a Wan checkpoint, from a local folder in diffusers' layout, with every key accounted for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from trainer.errors import PolicyError

INSTALL = 'pip install "identity-reward[grpo]"'
# keys that a message names
_SHOWN = 5
# graphs of one kind of block: with gradients or without, with LoRA or without, for each number of references and batch
# size. Beyond its own limit of 8 torch goes on without compilation
_MAX_GRAPHS = 64


def diffusers_class(name: str) -> Any:
    """A class of diffusers, which takes seconds to import. PolicyError where it is not installed."""
    return _attribute("diffusers", name)


def load_transformer(
    class_name: str, checkpoint: Path, dtype: torch.dtype, device: torch.device | str
) -> torch.nn.Module:
    """The transformer in `checkpoint`/transformer, frozen. PolicyError for a checkpoint of another model."""
    return _load(diffusers_class(class_name), checkpoint / "transformer", dtype, device)


def load_autoencoder(checkpoint: Path, dtype: torch.dtype, device: torch.device | str) -> Any:
    """The AutoencoderKLWan in `checkpoint`/vae, frozen. PolicyError for a checkpoint of another model."""
    return _load(diffusers_class("AutoencoderKLWan"), checkpoint / "vae", dtype, device)


def load_text_encoder(checkpoint: Path, dtype: torch.dtype, device: torch.device | str) -> tuple[Any, Any]:
    """(tokenizer, UMT5EncoderModel) of `checkpoint`. PolicyError for a checkpoint of another model."""
    folder = checkpoint / "tokenizer"
    require_folder(folder)
    try:
        tokenizer = _attribute("transformers", "AutoTokenizer").from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise PolicyError(f"the tokenizer {folder} can't be loaded: {error}") from error
    encoder = _attribute("transformers", "UMT5EncoderModel")
    return tokenizer, _load(encoder, checkpoint / "text_encoder", dtype, device, "dtype")


def flow_shift(checkpoint: Path) -> float | None:
    """The shift of the noise schedule in `checkpoint`/scheduler; None where it states none."""
    try:
        config = json.loads((checkpoint / "scheduler/scheduler_config.json").read_text())
        shift = config.get("flow_shift", config.get("shift"))
        return None if shift is None else float(shift)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def compile_blocks(network: torch.nn.Module, backend: str) -> None:
    """Compiles the blocks of a transformer, each kind once, by torch.compile on their first use.

    PolicyError for a backend that torch does not have.
    """
    backends = torch.compiler.list_backends(exclude_tags=())
    if backend not in backends:
        raise PolicyError(f"compile_backend is {backend!r}; there are {', '.join(backends)}")
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MAX_GRAPHS)
    compiled: Any = network
    compiled.compile_repeated_blocks(backend=backend, dynamic=False)


def _load(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device | str, keyword: str = "torch_dtype") -> Any:
    require_folder(folder)
    require_class(folder, kind.__name__)
    try:
        module, report = kind.from_pretrained(
            str(folder), output_loading_info=True, local_files_only=True, use_safetensors=True, **{keyword: dtype}
        )
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise PolicyError(f"{folder} can't be loaded as {kind.__name__}: {' '.join(str(error).split())}") from error
    require_all_keys(report, folder, kind.__name__)
    return module.to(device).eval().requires_grad_(False)


def require_class(folder: Path, name: str) -> None:
    """PolicyError where the configuration that diffusers wrote is another class's, which may not even take the same
    settings."""
    try:
        stated = json.loads((folder / "config.json").read_text()).get("_class_name", name)
        keys = [key for path in sorted(folder.glob("*.safetensors")) for key in _keys(path)]
    except (OSError, ValueError, AttributeError, SafetensorError):
        return  # from_pretrained says what is wrong
    if stated != name:
        raise PolicyError(f"{folder} is a {stated} of {len(keys)} keys ({_listed(keys)}); a {name} is needed")


def _keys(path: Path) -> list[str]:
    with safe_open(path, "pt") as file:
        return list(file.keys())


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def require_all_keys(report: Mapping[str, Any], folder: Path, name: str) -> None:
    """PolicyError that says how many keys of a `name` are missing, unexpected or mismatched, and names the first."""
    differences = []
    for kind in ("missing", "unexpected", "mismatched"):
        keys = sorted(str(key) for key in report.get(f"{kind}_keys") or ())
        if keys:
            differences.append(f"{len(keys)} {kind} keys ({_listed(keys)})")
    if differences:
        raise PolicyError(f"{folder} is no {name}: it has {' and '.join(differences)}")


def require_folder(folder: Path) -> None:
    """PolicyError where there is no such folder of a checkpoint."""
    if not folder.is_dir():
        raise PolicyError(f"{folder} is no folder; the checkpoint is a model in diffusers' layout on disk")


def _attribute(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise PolicyError(f"{name} of {module} can't be imported: {error}; {INSTALL}") from error
