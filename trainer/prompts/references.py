"""Reference images of prompts, and whether they can be read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from .files import Prompt


def read_upright(file: Path | BinaryIO) -> Image.Image:
    """RGB, turned by its EXIF orientation, transparency dropped. Raises OSError for what is no image, and what Pillow
    raises for a damaged one."""
    with Image.open(file) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def unreadable_references(prompts: Iterable[Prompt]) -> list[str]:
    """A line for each distinct reference that can't be decoded, with the prompt that names it first."""
    first: dict[Path, str] = {}
    for prompt in prompts:
        for path in prompt.references:
            first.setdefault(path, prompt.key)
    return [f"{key}: {path} can't be read: {error}" for path, key in first.items() if (error := _error(path))]


def _error(path: Path) -> str | None:
    try:
        read_upright(path)
    except Exception as error:  # a damaged file may raise anything
        return str(error) or type(error).__name__
    return None
