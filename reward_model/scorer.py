"""A scorer is a model on the server: samples in, rewards out, by three verbs, a price and a warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from identity_reward_client.frame_sampling import FrameSampling

from .folder import kind_of
from .qwen.runner.config import RunnerConfig
from .types import CacheCount, Price, Sample, Score, Size


@dataclass(frozen=True)
class ScorerInfo:
    name: str
    version: str
    # sha256 over weights and preprocessing: equal ones give equal scores for equal bytes in one dtype
    fingerprint: str
    # what the model knows, in a word: "photographs", "rendered people", "none"
    domain: str
    description: str
    frame_sampling: FrameSampling
    # False: random weights; the numbers mean nothing
    meaningful: bool = True
    prompt_used: bool = False
    max_references: int = 8
    # Bradley-Terry-with-Ties probabilities are those of preference_scale * (r_A - r_B)
    preference_scale: float = 1.0
    num_parameters: int = 0
    dtype: str = "float32"
    device: str = "cpu"


class Scorer(Protocol):
    """`preprocess` is called from several threads at once, `forward` from one thread at a time.

    Samples of one group share their `ReferenceSet` object; `ReferenceSet.keys` let a scorer keep what it computed for
    a picture. Errors are `reward_model.errors.ScoringError`s.
    """

    info: ScorerInfo

    def price(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        """What a sample of these sizes costs, in tokens: `num_frames` frames of `size` after sampling. Quick."""
        ...

    def preprocess(self, sample: Sample) -> Any:
        """CPU work of one sample: everything but the model."""
        ...

    def forward(self, batch: Sequence[Any]) -> Sequence[Any]:
        """The model, over a batch of what `preprocess` gave; one raw output each, in order."""
        ...

    def postprocess(self, raw: Any) -> Score:
        """One raw output to a score. A reward that is not finite raises NonFiniteReward."""
        ...

    def warm_up(self) -> None:
        """Run everything once, so that the first request pays nothing for being first."""
        ...

    def caches(self) -> Sequence[CacheCount]:
        """What it kept of earlier samples, counted; may be called from any thread."""
        ...


# name -> "module:callable", which takes (device: str), gives a Scorer, and is imported when it is used; or the folder,
# in this package, of a model that ships
SCORERS: dict[str, str] = {
    "arcface": "reward_model.faces.arcface:load",
    "arcface-minimum": "reward_model.faces.arcface:load_minimum",
    "arcface-best-frame": "reward_model.faces.arcface:load_best_frame",
    "compact": "presets/compact",
    "face-tracks": "presets/face_tracks",
    "tiny": "reward_model.qwen.tiny:load",
}
DEFAULT_SCORER = "face-tracks"


def require_known(name: str) -> None:
    """KeyError, which lists the known, for what `load_scorer` knows neither by its name nor as a folder or an .onnx."""
    if name not in SCORERS and not name.endswith(".onnx") and not Path(name).is_dir():
        raise KeyError(f"no model is called {name!r}; there are {', '.join(sorted(SCORERS))}")


def load_scorer(
    name: str, device: str = "cpu", dtype: str | None = None, runner: RunnerConfig = RunnerConfig()
) -> Scorer:
    """The registered scorer of that name, `arcface` with the face network of an .onnx file, or the reward model or
    face-tracks head of a folder; loaded but not warm.

    An unknown name is a KeyError that lists the known; a folder that holds no whole model is a
    `reward_model.folder.CheckpointError` that says what it lacks (`reward_model.folder.read_config` finds that out
    without torch). `dtype`, float32 or bfloat16, and `runner` are for `compact` and reward models in folders;
    other scorers have what they have.
    """
    require_known(name)
    if name.endswith(".onnx"):
        return import_module("reward_model.faces.arcface").load_onnx(name, device)
    module, is_factory, factory = SCORERS.get(name, "").partition(":")
    if is_factory:
        return getattr(import_module(module), factory)(device)
    folder = Path(__file__).parent / module if name in SCORERS else Path(name)
    if kind_of(folder) == "face-tracks":
        return import_module("reward_model.faces.face_tracks").load_folder(folder)
    return import_module("reward_model.qwen.loading").load_folder(folder, device, dtype, runner)
