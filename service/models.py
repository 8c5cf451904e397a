"""Names of models to loaded, warm scorers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from identity_reward_client.errors import InternalError, ModelNotFound
from reward_model.scorer import SCORERS, Scorer, load_scorer


def check_names(names: Sequence[str]) -> None:
    """ModelNotFound, of one line, for a name that no model has. Loads nothing."""
    for name in names:
        if name in SCORERS:
            continue
        if Path(name).is_dir():
            missing = "" if (Path(name) / "config.json").is_file() else "; it has no config.json either"
            raise ModelNotFound(f"{name} is a folder, and no model here loads from one{missing}")
        raise ModelNotFound(f"no model is called {name!r}; there are {', '.join(sorted(SCORERS))}")


def load_warm(name: str, device: str) -> Scorer:
    """The scorer, after a first run of everything. InternalError says in one line what stood in the way."""
    try:
        scorer = load_scorer(name, device)
        scorer.warm_up()
        return scorer
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InternalError(f"model {name!r} can't be loaded on {device}: {type(error).__name__}: {reason}") from error
