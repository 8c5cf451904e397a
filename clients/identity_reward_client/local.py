"""The in-process client, which the server's package provides by entry point."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from .base import RewardClient
from .errors import RewardError

ENTRY_POINT_GROUP = "identity_reward.clients"
INSTALL = 'pip install "identity-reward[serve,faces]"'


class NotInstalled(RewardError, ImportError):
    meaning = "The package that scores in this process is not installed, or lacks a dependency."


def local_client(models: Sequence[str] | None = None, dtype: str | None = None) -> RewardClient:
    """A client that scores in this process, with the same rewards as the service.

    Args:
        models: names, model folders or .onnx files, as of `identity-reward serve --model`; the first is the default.
        dtype: "float32" or "bfloat16", the precision of models that are loaded from folders.

    Raises:
        NotInstalled: the server's package is missing; the message says what to install.
    """
    entries = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == "local"]
    if not entries:
        raise NotInstalled(f"scoring in this process needs the server's package: {INSTALL}")
    try:
        make_client = entries[0].load()
        options = {"models": None if models is None else list(models), "dtype": dtype}
        client: RewardClient = make_client(**{name: value for name, value in options.items() if value is not None})
        return client
    except ImportError as error:
        raise NotInstalled(f"scoring in this process failed to load ({error}): {INSTALL}") from error
