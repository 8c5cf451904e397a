"""The protocol of a source of scenarios, and rendered people as one source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from reward_model.data.corruption_kinds import Severities
from reward_model.data.seeding import generator

from ..rendering.factory import open_renderer
from ..scenes.nuisances import sample_nuisances
from ..scenes.renderer import RendererKind
from .scenario import ClipSize, sample_scenario


@dataclass(frozen=True)
class RenderableClip:
    """render: frame indices to uint8 RGB [T, H, W, 3] with even sides, before compression by `crf`.

    severities: corruptions that the clip carries.
    people: everybody who is seen in it; a look-alike has another name.
    nuisances: {kind of `scenes.nuisances`: strength}; empty for a clip that is filmed well.
    """

    name: str
    severities: Severities
    people: frozenset[str]
    crf: int
    render: Callable[[Sequence[int]], np.ndarray]
    nuisances: dict[str, float] = field(default_factory=dict)

    def with_nuisances(self, seed: int) -> RenderableClip:
        """This clip with random nuisances, which are a function of seed and name."""
        nuisances = sample_nuisances(generator("nuisances of", seed, self.name), f"{seed} {self.name}")
        render = self.render

        def film(frame_indices: Sequence[int]) -> np.ndarray:
            return nuisances.apply(render(frame_indices), frame_indices)

        return replace(self, crf=nuisances.crf(self.crf), render=film, nuisances=nuisances.strengths)


@dataclass(frozen=True)
class RenderableReference:
    """render: uint8 RGB [H, W, 3] of the person."""

    person: str
    render: Callable[[], np.ndarray]


@dataclass(frozen=True)
class RenderableScenario:
    """Clips of one prompt and the same references. `cluster`: pairs of clips with equal ones share people."""

    name: str
    cluster: str
    prompt: str
    references: tuple[RenderableReference, ...]
    clips: tuple[RenderableClip, ...]

    def with_nuisances(self, seed: int) -> RenderableScenario:
        """Every clip with nuisances of its own."""
        return replace(self, clips=tuple(clip.with_nuisances(seed) for clip in self.clips))


class ScenarioSource(Protocol):
    """Scenario `index` of `split` is a function of source, index and split: the same pixels in any process."""

    licence: str
    size: ClipSize

    def scenario(self, index: int, split: str) -> RenderableScenario: ...

    def close(self) -> None: ...


class RenderedPeople:
    """ScenarioSource of rendered clips."""

    licence = "CC0-1.0"

    def __init__(self, seed: int, size: ClipSize, num_clips: int, renderer: RendererKind = "auto"):
        self.seed, self.size, self.num_clips = seed, size, num_clips
        self._renderer = open_renderer(renderer)

    def scenario(self, index: int, split: str) -> RenderableScenario:
        """No person is in two scenarios, so any scenario may be in any split."""
        scenario = sample_scenario(self.seed, index, self.size, self.num_clips)
        return RenderableScenario(
            scenario.name,
            scenario.name,
            scenario.prompt,
            tuple(RenderableReference(p.person.name, partial(p.render, self._renderer)) for p in scenario.portraits),
            tuple(
                RenderableClip(clip.name, clip.severities, clip.people, clip.crf, partial(clip.render, self._renderer))
                for clip in scenario.clips
            ),
        )

    def close(self) -> None:
        self._renderer.close()
