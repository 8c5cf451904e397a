"""How the serving process tells `identity-reward serve` what became of its start: one small file of JSON."""

from __future__ import annotations

import json
import os

from .settings import Settings


def report(settings: Settings, failed: str | None = None) -> None:
    """Ready, or the reason why not. Written beside and renamed, so that a reader never sees half of it."""
    if settings.status_path is None:
        return
    draft = settings.status_path.with_suffix(".draft")
    draft.write_text(json.dumps({"failed": failed}))
    os.replace(draft, settings.status_path)


def read(settings: Settings) -> dict[str, str | None] | None:
    """What was reported; None as long as nothing was."""
    try:
        return json.loads(settings.status_path.read_text()) if settings.status_path else None
    except FileNotFoundError:
        return None
