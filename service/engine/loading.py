"""Loading of models by the names that `serve --model` accepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from identity_reward_client.errors import InternalError, ModelNotFound
from reward_model.folder import CheckpointError, kind_of, read_config
from reward_model.qwen.runner.config import RunnerConfig
from reward_model.registry import SCORERS, load_scorer
from reward_model.scorer import Scorer

from ..settings.settings import Settings


def locate(name: str) -> str:
    """A registered name unchanged, a folder or .onnx file as an absolute path: the worker runs in another folder."""
    path = Path(name)
    return str(path.absolute()) if name not in SCORERS and path.exists() else name


def check_names(names: Sequence[str]) -> None:
    """Raise ModelNotFound, with one line of text, for a name that is not a model's. Loads nothing."""
    for name in names:
        path = Path(name)
        if name in SCORERS or (name.endswith(".onnx") and path.is_file()):
            continue
        if not path.is_dir():
            registered = ", ".join(sorted(SCORERS))
            raise ModelNotFound(f"no model is called {name!r}; there are {registered}, folders and .onnx files")
        try:
            if kind_of(path) != "face-tracks":
                read_config(path)
        except CheckpointError as error:
            raise ModelNotFound(f"{name} can't be served: {error}") from None


def load_warm(name: str, settings: Settings) -> Scorer:
    """The loaded scorer after a warm-up run. Raises InternalError with the reason in one line."""
    try:
        runner = RunnerConfig(
            token_budget=settings.scheduling.max_batch_tokens,
            batch_memory_bytes=settings.inference.max_batch_memory_bytes,
            feature_cache_bytes=settings.inference.feature_cache_bytes,
            prefix_cache_bytes=settings.inference.prefix_cache_bytes,
            prefix_host_cache_bytes=settings.inference.prefix_host_cache_bytes,
            deterministic=settings.inference.deterministic,
        )
        scorer = load_scorer(name, settings.inference.device, settings.inference.dtype, runner)
        scorer.warm_up()
        return scorer
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InternalError(
            f"model {name!r} can't be loaded on {settings.inference.device}: {type(error).__name__}: {reason}"
        ) from error
