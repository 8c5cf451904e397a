"""Registry of the models that ship, and the loader of every scorer by name, folder or `.onnx` file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from .folder import kind_of
from .qwen.runner.config import RunnerConfig
from .scorer import Scorer

# Model name -> "module:callable", imported on use, where the callable takes the device's name and returns a Scorer;
# or the folder, inside this package, of a model that ships.
SCORERS: dict[str, str] = {
    "arcface": "reward_model.faces.arcface:load",
    "arcface-minimum": "reward_model.faces.arcface:load_minimum",
    "arcface-best-frame": "reward_model.faces.arcface:load_best_frame",
    "compact": "presets/compact",
    "face-tracks": "presets/face_tracks",
    "tiny": "reward_model.qwen.tiny:load",
}
DEFAULT_SCORER = "face-tracks"


def require_registered(name: str) -> None:
    """KeyError, which lists the registered names, unless `name` is one of them, a folder or an `.onnx` file."""
    if name not in SCORERS and not name.endswith(".onnx") and not Path(name).is_dir():
        raise KeyError(f"no model is called {name!r}; there are {', '.join(sorted(SCORERS))}")


def load_scorer(
    name: str, device: str = "cpu", dtype: str | None = None, runner: RunnerConfig = RunnerConfig()
) -> Scorer:
    """A loaded scorer, not yet warmed up.

    `name` is a registered name, the path of an `.onnx` face network (scored as `arcface`), or a folder that holds a
    reward model or a face-tracks head. `dtype` (float32 or bfloat16) and `runner` apply to `compact` and to reward
    models in folders; other scorers ignore them.

    Raises KeyError for an unknown name, and `reward_model.folder.CheckpointError` for a folder without a whole model
    (`reward_model.folder.read_config` checks that without torch).
    """
    require_registered(name)
    if name.endswith(".onnx"):
        return import_module("reward_model.faces.arcface").load_onnx(name, device)
    module, is_factory, factory = SCORERS.get(name, "").partition(":")
    if is_factory:
        return getattr(import_module(module), factory)(device)
    folder = Path(__file__).parent / module if name in SCORERS else Path(name)
    if kind_of(folder) == "face-tracks":
        return import_module("reward_model.faces.face_tracks").load_folder(folder, device)
    return import_module("reward_model.qwen.loading").load_folder(folder, device, dtype, runner)
