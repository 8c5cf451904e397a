"""Whether the reference images of prompts can be read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from .files import Prompt


def unreadable_references(prompts: Iterable[Prompt]) -> list[str]:
    """A line for each distinct reference that can't be decoded, with the prompt that names it first."""
    first: dict[Path, str] = {}
    for prompt in prompts:
        for path in prompt.references:
            first.setdefault(path, prompt.key)
    return [f"{key}: {path} can't be read: {error}" for path, key in first.items() if (error := _error(path))]


def _error(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:  # a damaged file may raise anything
        return str(error) or type(error).__name__
    return None
