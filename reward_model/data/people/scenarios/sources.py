"""Where scenarios come from: what `generate.py` needs of them, and the rendered people as one source of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from ..rendering.factory import RendererKind, open_renderer
from .scenario import ClipSize, draw_scenario


@dataclass(frozen=True)
class Clip:
    """`draw` takes frame numbers and gives uint8 RGB [T, H, W, 3] with even sides, before compression by `crf`.

    people: everybody who is seen in it; a look-alike has a name of its own.
    """

    name: str
    modes: dict[str, float]
    people: frozenset[str]
    crf: int
    draw: Callable[[Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Scene:
    """Clips of one prompt and the same references. references: (person, how their picture [H, W, 3] is drawn)."""

    name: str
    cluster: str
    prompt: str
    references: tuple[tuple[str, Callable[[], np.ndarray]], ...]
    clips: tuple[Clip, ...]


class Source(Protocol):
    """Scenario `index` of `split` is a function of source, index and split: the same pixels in any process."""

    licence: str
    size: ClipSize

    def scene(self, index: int, split: str) -> Scene: ...

    def close(self) -> None: ...


class RenderedPeople:
    licence = "CC0-1.0"

    def __init__(self, seed: int, size: ClipSize, num_clips: int, renderer: RendererKind = "auto"):
        self.seed, self.size, self.num_clips = seed, size, num_clips
        self._renderer = open_renderer(renderer)

    def scene(self, index: int, split: str) -> Scene:
        """Nobody is in two scenarios, so any may be in any split."""
        scenario = draw_scenario(self.seed, index, self.size, self.num_clips)
        return Scene(
            scenario.name,
            scenario.name,
            scenario.prompt,
            tuple((p.person.name, partial(p.draw, self._renderer)) for p in scenario.portraits),
            tuple(Clip(c.name, c.modes, c.people, c.crf, partial(c.draw, self._renderer)) for c in scenario.clips),
        )

    def close(self) -> None:
        self._renderer.close()
