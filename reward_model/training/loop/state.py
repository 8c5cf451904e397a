"""The state of a training on disk: trained parameters, moments of the optimizers, and the number of completed steps.

A state is written whole or not at all. No generator has a state, as every random number follows from the seed and the
step. `state/step-00000120/` holds `trained.safetensors`, `optimizer.safetensors` and `state.json`; under FSDP or
DeepSpeed it holds the shards that accelerate writes. Further tensors of a task, such as averaged weights, are in files
of their own names.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import TrainingError

# number of states that are kept, the newest
KEPT = 2
WHOLE = "whole"
_PREFIX = "step-"


@dataclass(frozen=True)
class SavedProgress:
    """Contents of `state.json`."""

    # number of completed steps
    step: int
    # sha256 of the files of pairs and of the initial weights, by their field of the configuration
    data: dict[str, str]
    # WHOLE, or accelerate's name of the sharding
    written: str = WHOLE


def folders(root: Path) -> list[Path]:
    """Complete states, the newest last."""
    return sorted(path for path in (root / "state").glob(f"{_PREFIX}*") if (path / "state.json").is_file())


def folder_of(root: Path, step: int) -> Path:
    return root / "state" / f"{_PREFIX}{step:08d}"


def partial_of(final: Path) -> Path:
    """Folder that a state is written to before `finish` renames it."""
    return final.with_name(f".{final.name}.writing")


def begin(root: Path, step: int) -> Path:
    """Creates the partial folder of a state, and removes those that a killed process left."""
    for stale in (root / "state").glob(f".{_PREFIX}*.writing"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = partial_of(folder_of(root, step))
    partial.mkdir(parents=True)
    return partial


def finish(partial: Path, progress: SavedProgress) -> Path:
    """Completes a partial folder by renaming it, and removes all states but the newest."""
    (partial / "state.json").write_text(dumps(asdict(progress)))
    final = partial.with_name(partial.name.removeprefix(".").removesuffix(".writing"))
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in folders(final.parent.parent)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def write_atomically(path: Path, text: str) -> None:
    """Replaces the file's content; a killed process leaves the old or the new text."""
    partial = path.with_name(f".{path.name}.writing")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_progress(folder: Path) -> SavedProgress:
    """Contents of a state's `state.json`; TrainingError where it is damaged."""
    try:
        return SavedProgress(**loads((folder / "state.json").read_text()))
    except (JSONDecodeError, TypeError, OSError) as error:
        raise TrainingError(
            f"{folder} holds no state of a training: {error}; remove it to go on from the one before"
        ) from None


def require_format(folder: Path, progress: SavedProgress, sharding: str) -> None:
    """Raises TrainingError where a state's format is not the `sharding` (or WHOLE) of the run that reads it."""
    if progress.written == sharding:
        return
    if sharding == WHOLE:
        raise TrainingError(
            f"{folder} was written under {progress.written}; resume with the same accelerate config: accelerate launch "
            "-m reward_model.training ... --resume"
        )
    raise TrainingError(
        f"{folder} was written as {progress.written} tensors and can't be read under {sharding}; resume without "
        f"{sharding}"
        if progress.written == WHOLE
        else f"{folder} was written under {progress.written} and can't be read under {sharding}; resume under the "
        "former"
    )


def write_tensors(folder: Path, model: torch.nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    """Writes trained parameters by name, and moments as OPTIMIZER.PARAMETER.NAME with indices of both."""
    trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, folder / "trained.safetensors")
    moments = {
        f"{index}.{number}.{key}": value.detach().cpu().contiguous()
        for index, optimizer in enumerate(optimizers)
        for number, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }
    save_file(moments, folder / "optimizer.safetensors")


def write_named(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes further tensors of a task."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def read_named(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Reads what `write_named` wrote into `tensors`. Raises TrainingError for other tensors or a damaged file."""
    try:
        saved = load_file(path)
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} can't be read: {error}; remove the state to go on from the one before") from None
    if {name: tensor.shape for name, tensor in saved.items()} != {name: t.shape for name, t in tensors.items()}:
        raise TrainingError(f"{path} is the state of another model")
    for name, tensor in tensors.items():
        tensor.copy_(saved[name])


def read_tensors(folder: Path, model: torch.nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    """Reads what `write_tensors` wrote. Raises TrainingError for a state of another model or a damaged one."""
    try:
        trained = load_file(folder / "trained.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{folder} can't be read: {error}; remove it to go on from the one before") from None
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    shapes = {name: tuple(value.shape) for name, value in trained.items()}
    if shapes != {name: tuple(parameter.shape) for name, parameter in parameters.items()}:
        odd = sorted({*parameters} ^ {*trained}) or [n for n in parameters if parameters[n].shape != trained[n].shape]
        raise TrainingError(f"{folder} is the state of another model: it differs in {', '.join(odd[:5])}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(trained[name])
    states: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
    for name, value in moments.items():
        index, number, key = name.split(".", 2)
        states[int(index)].setdefault(int(number), {})[key] = value
    for optimizer, moments_of in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": moments_of, "param_groups": optimizer.state_dict()["param_groups"]})
