"""A run's folder: `config.yaml`, `state/`, `metrics.jsonl`, `tensorboard/`; `curves.png` and `model/` at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..configs.base import RunConfig
from ..configs.files import KINDS, config_yaml, differences, read_config
from ..errors import TrainingError
from .result import RESULT
from .state import folders, read_progress, write_atomically

CONFIG = "config.yaml"


@dataclass(frozen=True)
class OpenedRun:
    """A run's folder as it was found."""

    # state to resume from; None to start with step 0
    state: Path | None
    finished: bool
    # lines for the user
    notes: tuple[str, ...] = ()


def open_run(out: Path, config: RunConfig, hashes: dict[str, str], resume: bool, allow_changes: bool) -> OpenedRun:
    """Reads the folder of a run, and writes nothing.

    Raises TrainingError where it holds something else, or a run of another configuration or other inputs; with
    `allow_changes` the differences become notes.
    """
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} exists already; --resume goes on with it, or give another --out")
    notes: list[str] = []
    states = folders(out) if resume else []
    state = states[-1] if states else None
    if resume and (out / CONFIG).is_file():
        old = read_config(str(out / CONFIG), kinds={**KINDS, config.kind: type(config)})
        changed = differences(old, config)
        if state is not None:
            saved_hashes = read_progress(state).data
            names = {"init": "the weights of model.init have"}
            changed += [
                f"{names.get(name, f'the file of data.{name} has')} changed"
                for name in saved_hashes
                if hashes.get(name) != saved_hashes[name]
            ]
        if changed and not allow_changes:
            raise TrainingError(
                f"{out} holds another run: {'; '.join(changed)}. Give its own config ({out / CONFIG}), another --out, "
                "or --allow-changes to go on all the same"
            )
        notes += [f"going on with a change: {change}" for change in changed]
    elif resume and out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out} holds no run: {CONFIG} isn't there; give another --out")
    if resume and state is None:
        notes.append(f"{out} holds no state yet: starting from the beginning")
    return OpenedRun(state, (out / RESULT).is_dir(), tuple(notes))


def make_run(out: Path, config: RunConfig) -> None:
    """Creates the folder and writes its configuration."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / CONFIG, config_yaml(config))
