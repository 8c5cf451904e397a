"""The status file, by which the serving process reports to `identity-reward serve` that it is ready or has failed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TypedDict

from ..settings.settings import Settings


class Status(TypedDict):
    """Content of the status file."""

    # names of the served models, the default first; empty after a failure
    models: list[str]
    failed: str | None


def report(settings: Settings, models: Sequence[str] = (), failed: str | None = None) -> None:
    """Writes that these models are served, or why the server failed. Readers never see a partial file."""
    path = settings.operations.status_path
    if path is None:
        return
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(Status(models=list(models), failed=failed)))
    os.replace(draft, path)


def read(settings: Settings) -> Status | None:
    """The last report; None before the first."""
    path = settings.operations.status_path
    try:
        return json.loads(path.read_text()) if path else None
    except FileNotFoundError:
        return None
