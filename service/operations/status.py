"""How the serving process tells `identity-reward serve` what became of its start: one small file of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TypedDict

from ..settings.settings import Settings


class Status(TypedDict):
    # names of the served models, the default first; empty when the start failed
    models: list[str]
    failed: str | None


def report(settings: Settings, models: Sequence[str] = (), failed: str | None = None) -> None:
    """Ready with these models, or the reason why not. Renamed into place: a reader never sees half of it."""
    if settings.operations.status_path is None:
        return
    draft = settings.operations.status_path.with_suffix(".draft")
    draft.write_text(json.dumps(Status(models=list(models), failed=failed)))
    os.replace(draft, settings.operations.status_path)


def read(settings: Settings) -> Status | None:
    """What was reported; None as long as nothing was."""
    try:
        return json.loads(settings.operations.status_path.read_text()) if settings.operations.status_path else None
    except FileNotFoundError:
        return None
