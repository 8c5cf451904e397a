"""A clip before it is drawn: who plays which part when, how all moves, and what is done to the pictures afterwards.

A plan is data; a failure mode (`failures.py`) turns one plan into another. Points in a clip are shares of it: 0 the
first frame, 1 the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..appearance.person import Clothes, Person
from .degradation import DamageKind, damaged, lower_resolution
from .motion import CameraMotion, HeadMotion
from ..appearance.sampling import blend
from .scene import Actor, Background, Expression, Light, Pose, Renderer, Scene


@dataclass(frozen=True)
class Change:
    """Another person takes over a part: from `start` to `end` the part's person blends into `person`, by `reach`.

    start = end is a cut; `start` 0 of a cut: from the first frame. `keep_build`: below the neck nothing changes.
    """

    person: Person
    start: float
    end: float
    reach: float = 1.0
    keep_build: bool = True

    def share(self, at: float) -> float:
        if at >= self.end:
            return self.reach
        if at < self.start:
            return 0.0
        t = (at - self.start) / (self.end - self.start)
        return self.reach * t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Still:
    """A head held in one pose and expression: 1 of `share` wholly, 0 not at all. Its place goes on moving."""

    pose: Pose
    expression: Expression
    share: float


@dataclass(frozen=True)
class Part:
    """Somebody in a clip: shown from `shown[0]` to `shown[1]`."""

    person: Person
    clothes: Clothes
    motion: HeadMotion
    change: Change | None = None
    still: Still | None = None
    shown: tuple[float, float] = (0.0, 1.0)

    def actor(self, at: float, time_s: float) -> Actor | None:
        if not self.shown[0] <= at <= self.shown[1]:
            return None
        person, body = self.person, None
        if self.change is not None:
            share = self.change.share(at)
            if share > 0:
                person = self.change.person if share >= 1 else blend(person, self.change.person, share)
                body = self.person if self.change.keep_build else None
        pose, expression = self.motion.pose(time_s), self.motion.expression(time_s)
        if self.still is not None:
            pose, expression = _held(pose, expression, self.still)
        return Actor(person, self.clothes, pose, expression, body)


@dataclass(frozen=True)
class Damage:
    """The head of part `part` is blurred or warped within `span` of the clip; strength 0..1."""

    part: int
    kind: DamageKind
    strength: float
    span: tuple[float, float]


@dataclass(frozen=True)
class ClipPlan:
    """parts: from the back to the front. resolution: the share of the frame's pixels a side that is kept.
    crf: H.264's constant rate factor. modes: {failure mode: severity in (0, 1]}; empty for an original."""

    name: str
    parts: tuple[Part, ...]
    background: Background
    light: Light
    camera: CameraMotion
    crf: int
    damage: tuple[Damage, ...] = ()
    resolution: float = 1.0
    modes: dict[str, float] = field(default_factory=dict)
    num_frames: int = 33
    fps: float = 16.0
    width: int = 416
    height: int = 240

    @property
    def people(self) -> frozenset[str]:
        """Names of those who are seen at any time, impostors among them."""
        parts = [part for part in self.parts if part.shown[1] >= 0]
        changed = {part.change.person.name for part in parts if part.change is not None}
        return frozenset(part.person.name for part in parts) | changed

    def scene(self, frame: int) -> tuple[Scene, tuple[int, ...]]:
        """What frame number `frame` shows, and the part that each of its actors plays."""
        at, time_s = self.at(frame), frame / self.fps
        actors = [(n, part.actor(at, time_s)) for n, part in enumerate(self.parts)]
        shown = [(n, actor) for n, actor in actors if actor is not None]
        scene = Scene(tuple(actor for _, actor in shown), self.background, self.light, self.camera.at(time_s))
        return scene, tuple(n for n, _ in shown)

    def at(self, frame: int) -> float:
        return frame / max(self.num_frames - 1, 1)

    def draw(self, renderer: Renderer, frames: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3] of the frames with these numbers, before compression."""
        return np.stack([self._frame(renderer, frame) for frame in frames])

    def _frame(self, renderer: Renderer, number: int) -> np.ndarray:
        scene, parts = self.scene(number)
        drawn = renderer.render(scene, self.width, self.height)
        picture, at = drawn.rgb, self.at(number)
        for damage in self.damage:
            box = dict(zip(parts, drawn.heads, strict=True)).get(damage.part)
            if box is not None and damage.span[0] <= at <= damage.span[1]:
                picture = damaged(picture, box, damage.kind, damage.strength)
        return lower_resolution(picture, self.resolution)


def _held(pose: Pose, expression: Expression, still: Still) -> tuple[Pose, Expression]:
    def mix(now: float, held: float) -> float:
        return now + (held - now) * still.share

    turned = {name: mix(getattr(pose, name), getattr(still.pose, name)) for name in ("yaw", "pitch", "roll")}
    face = {name: mix(value, getattr(still.expression, name)) for name, value in vars(expression).items()}
    return Pose(**{**vars(pose), **turned}), Expression(**face)
