"""The plan of a clip: which person is seen when, how everything moves, and how the frames are degraded afterwards.

A plan is data; corruptions turn one plan into another. Positions in a clip are shares of it: 0 the first frame, 1 the
last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reward_model.data.corruption_kinds import Severities

from ..appearance.person import Clothes, Person
from ..appearance.sampling import blend_people
from .degradation import DamageKind, damage_face, lower_resolution
from .motion import CameraMotion, PersonMotion
from .renderer import Renderer
from .scene import Actor, Background, Expression, Light, Pose, Scene


@dataclass(frozen=True)
class Takeover:
    """Another person takes over a part: from `start` to `end` the part's person blends into `person`, by `reach`.

    start = end is a cut; with start = 0 it shows `person` from the first frame on. `keep_build`: the body below the
    neck stays that of the part's person.
    """

    person: Person
    start: float
    end: float
    reach: float = 1.0
    keep_build: bool = True

    def share(self, position: float) -> float:
        """How far the part's person has become `person`, 0..1."""
        if position >= self.end:
            return self.reach
        if position < self.start:
            return 0.0
        t = (position - self.start) / (self.end - self.start)
        return self.reach * t * t * (3 - 2 * t)


@dataclass(frozen=True)
class HeldPose:
    """A face held in one orientation and expression, fully for `share` 1 and not for 0; its position still changes."""

    pose: Pose
    expression: Expression
    share: float


@dataclass(frozen=True)
class Part:
    """A person in a clip, shown from `shown[0]` to `shown[1]`."""

    person: Person
    clothes: Clothes
    motion: PersonMotion
    takeover: Takeover | None = None
    held: HeldPose | None = None
    shown: tuple[float, float] = (0.0, 1.0)

    def actor(self, position: float, time_s: float) -> Actor | None:
        """The actor of this part at a position and time of the clip; None where the part is not shown."""
        if not self.shown[0] <= position <= self.shown[1]:
            return None
        person, body = self.person, None
        if self.takeover is not None:
            share = self.takeover.share(position)
            if share > 0:
                person = self.takeover.person if share >= 1 else blend_people(person, self.takeover.person, share)
                body = self.person if self.takeover.keep_build else None
        pose, expression = self.motion.pose(time_s), self.motion.expression(time_s)
        if self.held is not None:
            pose, expression = _hold(pose, expression, self.held)
        return Actor(person, self.clothes, pose, expression, body)


@dataclass(frozen=True)
class FaceDamage:
    """The face of part `part` is blurred or warped within `span` of the clip; `strength` in 0..1."""

    part: int
    kind: DamageKind
    strength: float
    span: tuple[float, float]


@dataclass(frozen=True)
class ClipPlan:
    """parts: from the back to the front.

    resolution: the share of the frame's pixels per side that is kept.
    crf: H.264's constant rate factor.
    severities: corruptions that the plan carries; empty for an original.
    """

    name: str
    parts: tuple[Part, ...]
    background: Background
    light: Light
    camera: CameraMotion
    crf: int
    damage: tuple[FaceDamage, ...] = ()
    resolution: float = 1.0
    severities: Severities = field(default_factory=dict)
    num_frames: int = 33
    fps: float = 16.0
    width: int = 416
    height: int = 240

    @property
    def people(self) -> frozenset[str]:
        """Names of everybody who is seen at any time, impostors included."""
        parts = [part for part in self.parts if part.shown[1] >= 0]
        taking_over = {part.takeover.person.name for part in parts if part.takeover is not None}
        return frozenset(part.person.name for part in parts) | taking_over

    def scene(self, frame_index: int) -> tuple[Scene, tuple[int, ...]]:
        """What a frame shows, and the index of the part that each of its actors plays."""
        position, time_s = self.position(frame_index), frame_index / self.fps
        actors = [(n, part.actor(position, time_s)) for n, part in enumerate(self.parts)]
        shown = [(n, actor) for n, actor in actors if actor is not None]
        scene = Scene(tuple(actor for _, actor in shown), self.background, self.light, self.camera.at(time_s))
        return scene, tuple(n for n, _ in shown)

    def position(self, frame_index: int) -> float:
        """A frame's position as a share of the clip."""
        return frame_index / max(self.num_frames - 1, 1)

    def render(self, renderer: Renderer, frame_indices: Sequence[int]) -> np.ndarray:
        """These frames as uint8 RGB [T, H, W, 3], before compression."""
        return np.stack([self._render_frame(renderer, index) for index in frame_indices])

    def _render_frame(self, renderer: Renderer, frame_index: int) -> np.ndarray:
        scene, parts = self.scene(frame_index)
        frame = renderer.render(scene, self.width, self.height)
        image_HWC, position = frame.rgb, self.position(frame_index)
        for damage in self.damage:
            box = dict(zip(parts, frame.face_boxes, strict=True)).get(damage.part)
            if box is not None and damage.span[0] <= position <= damage.span[1]:
                image_HWC = damage_face(image_HWC, box, damage.kind, damage.strength)
        return lower_resolution(image_HWC, self.resolution)


def _hold(pose: Pose, expression: Expression, held: HeldPose) -> tuple[Pose, Expression]:
    def mix(current: float, target: float) -> float:
        return current + (target - current) * held.share

    turned = {name: mix(getattr(pose, name), getattr(held.pose, name)) for name in ("yaw", "pitch", "roll")}
    face = {name: mix(value, getattr(held.expression, name)) for name, value in vars(expression).items()}
    return Pose(**{**vars(pose), **turned}), Expression(**face)
