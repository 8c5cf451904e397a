"""The in-process client, found by entry point: this package does not know the server's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from .base import RewardClient
from .errors import RewardError

GROUP = "identity_reward.clients"
INSTALL = 'pip install "identity-reward[serve,faces]"'


class NotInstalled(RewardError, ImportError):
    """The package that scores in process is not there, or lacks one that it needs."""


def local_client(models: Sequence[str] | None = None, dtype: str | None = None) -> RewardClient:
    """A client that scores in this process, with the same numbers as the service; `models` and `dtype` as in `serve`.

    NotInstalled, with what to install, where the server's package is missing.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == "local"]
    if not found:
        raise NotInstalled(f"scoring in this process needs the server's package: {INSTALL}")
    try:
        make = found[0].load()
        given = {"models": None if models is None else list(models), "dtype": dtype}
        return make(**{name: value for name, value in given.items() if value is not None})
    except ImportError as error:
        raise NotInstalled(f"scoring in this process failed to load ({error}): {INSTALL}") from error
