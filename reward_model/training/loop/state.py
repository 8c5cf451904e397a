"""The state of a training on disk, whole or not at all: what is trained, the optimiser's moments, and the step.

No generator has a state: every draw follows from seed and step. `state/step-00000120/` holds `trained.safetensors`,
`optimizer.safetensors` and `state.json`; under FSDP or DeepSpeed, whose shards only their own code can put together,
what accelerate writes.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import TrainingError

KEPT = 2
WHOLE = "whole"
_PREFIX = "step-"


@dataclass(frozen=True)
class Progress:
    # steps that are done
    step: int
    # sha256 of every file of pairs and of the weights begun with, by their place in the config
    data: dict[str, str]
    # WHOLE, or the name that accelerate gives to those whose shards they are
    written: str = WHOLE


def folders(root: Path) -> list[Path]:
    """Whole states, the newest last."""
    return sorted(path for path in (root / "state").glob(f"{_PREFIX}*") if (path / "state.json").is_file())


def begin(root: Path, step: int) -> Path:
    """A folder to write into, which `finish` gives its name. What a kill left half written is removed."""
    for left in (root / "state").glob(f".{_PREFIX}*.writing"):
        shutil.rmtree(left, ignore_errors=True)
    partial = root / "state" / f".{_PREFIX}{step:08d}.writing"
    partial.mkdir(parents=True)
    return partial


def finish(partial: Path, progress: Progress) -> Path:
    """Gives the folder its name, and removes all but the last two."""
    (partial / "state.json").write_text(dumps(asdict(progress)))
    final = partial.with_name(partial.name.removeprefix(".").removesuffix(".writing"))
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in folders(final.parent.parent)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def write_whole(path: Path, text: str) -> None:
    """The file has all of `text`, or what it had."""
    whole = path.with_name(f".{path.name}.writing")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)


def read_progress(folder: Path) -> Progress:
    try:
        return Progress(**loads((folder / "state.json").read_text()))
    except (JSONDecodeError, TypeError, OSError) as error:
        raise TrainingError(
            f"{folder} holds no state of a training: {error}; remove it to go on from the one before"
        ) from None


def require_written(folder: Path, progress: Progress, kind: str) -> None:
    """TrainingError where the state was written by another kind of run than the `kind` that is to read it."""
    if progress.written == kind:
        return
    if kind == WHOLE:
        raise TrainingError(
            f"{folder} was written under {progress.written}; resume with the same accelerate config: accelerate launch "
            "-m reward_model.training ... --resume"
        )
    raise TrainingError(
        f"{folder} was written as {progress.written} tensors and can't be read under {kind}; resume without {kind}"
        if progress.written == WHOLE
        else f"{folder} was written under {progress.written} and can't be read under {kind}; resume under the former"
    )


def write_tensors(folder: Path, model: torch.nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, folder / "trained.safetensors")
    moments = {
        f"{which}.{number}.{key}": value.detach().cpu().contiguous()
        for which, optimizer in enumerate(optimizers)
        for number, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }
    save_file(moments, folder / "optimizer.safetensors")


def read_tensors(folder: Path, model: torch.nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    """TrainingError where the state is another model's, or damaged."""
    try:
        trained = load_file(folder / "trained.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{folder} can't be read: {error}; remove it to go on from the one before") from None
    own = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    shapes = {name: tuple(value.shape) for name, value in trained.items()}
    if shapes != {name: tuple(parameter.shape) for name, parameter in own.items()}:
        odd = sorted({*own} ^ {*trained}) or [n for n in own if own[n].shape != trained[n].shape]
        raise TrainingError(f"{folder} is the state of another model: it differs in {', '.join(odd[:5])}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(trained[name])
    states: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
    for name, value in moments.items():
        which, number, key = name.split(".", 2)
        states[int(which)].setdefault(int(number), {})[key] = value
    for optimizer, own_state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": own_state, "param_groups": optimizer.state_dict()["param_groups"]})
