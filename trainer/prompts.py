"""Prompts of GRPO: a text and the reference images of the people it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Prompt:
    """One prompt of a data set. A group is several videos of one prompt.

    `key` identifies it and not its text: one text may go with several sets of references.
    """

    key: str
    text: str
    # images in the order in which the text names the people
    references: tuple[Path, ...]
