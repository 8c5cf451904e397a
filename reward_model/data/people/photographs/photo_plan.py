"""Plans of clips over photographs: each person fills a strip of the frame, and a camera pans and zooms over it.

Positions in a clip are shares of it: 0 the first frame, 1 the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from reward_model.data.corruption_kinds import Severities

from ..scenarios.scenario import ClipSize
from ..scenes.clip_plan import FaceDamage
from ..scenes.degradation import damage_face, lower_resolution
from ..scenes.motion import CameraMotion, sample_wave
from .strip_view import strip_share, strip_view

# of red, green and blue
Gains = tuple[float, float, float]


class Blend(NamedTuple):
    """Another person's photograph, and the share of it that is reached at the clip's end."""

    person: str
    photograph: str
    share: float


@dataclass(frozen=True)
class Shot:
    """A photograph from `start` of the clip on, which may blend into another."""

    start: float
    person: str
    photograph: str
    blend_to: Blend | None = None


@dataclass(frozen=True)
class Strip:
    """The part of the frame that shows one person, in shots that follow each other.

    face_size: height of the face as a share of the frame's. shown: from where to where in the clip.
    """

    shots: tuple[Shot, ...]
    face_size: float
    camera: CameraMotion
    shown: tuple[float, float] = (0.0, 1.0)

    def shot(self, position: float) -> Shot:
        return [shot for shot in self.shots if shot.start <= position][-1]


@dataclass(frozen=True)
class PhotoPlan:
    """As `ClipPlan`. light: gains at the first and at the last frame."""

    name: str
    strips: tuple[Strip, ...]
    light: tuple[Gains, Gains]
    crf: int
    size: ClipSize
    damage: tuple[FaceDamage, ...] = ()
    resolution: float = 1.0
    severities: Severities = field(default_factory=dict)

    @property
    def people(self) -> frozenset[str]:
        """Everybody who is seen at any time, impostors included."""
        shots = [shot for strip in self.strips if strip.shown[1] >= 0 for shot in strip.shots]
        blended = {shot.blend_to.person for shot in shots if shot.blend_to is not None}
        return frozenset(shot.person for shot in shots) | blended

    def render(self, frame_indices: Sequence[int]) -> np.ndarray:
        """These frames as uint8 RGB [T, H, W, 3], before compression."""
        return np.stack([self._render_frame(index) for index in frame_indices])

    def _render_frame(self, frame_index: int) -> np.ndarray:
        position, time_s = frame_index / max(self.size.num_frames - 1, 1), frame_index / self.size.fps
        shown = [(n, strip) for n, strip in enumerate(self.strips) if strip.shown[0] <= position <= strip.shown[1]]
        width, height = self.size.width, self.size.height
        image_HWC = np.zeros((height, width, 3), np.float32)
        for column, (index, strip) in enumerate(shown):
            shot = strip.shot(position)
            photographs = [(shot.person, shot.photograph)]
            share = 0.0
            if shot.blend_to is not None:
                photographs.append((shot.blend_to.person, shot.blend_to.photograph))
                t = min(max((position - 0.08) / 0.84, 0), 1)
                share = shot.blend_to.share * t * t * (3 - 2 * t)
            camera = strip.camera.at(time_s)
            view, box = strip_view(photographs, share, strip.face_size, camera, column, len(shown), width, height)
            for damage in self.damage:
                if damage.part == index and damage.span[0] <= position <= damage.span[1]:
                    view = damage_face(view, box, damage.kind, damage.strength)
            image_HWC += view * strip_share(column, len(shown), width)[None, :, None]
        first, last = np.array(self.light)
        lit = np.clip(np.rint(image_HWC * (first + (last - first) * position)), 0, 255).astype(np.uint8)
        return lower_resolution(lit, self.resolution)


def sample_photo_camera(rng: np.random.Generator) -> CameraMotion:
    """Slow panning and zooming without roll."""
    roll = sample_wave(rng, 0.0, 0.0)
    zoom = sample_wave(rng, 1.0, float(rng.uniform(0.02, 0.1)), 0.25)
    return CameraMotion(sample_wave(rng, 0.0, 0.03, 0.3), sample_wave(rng, 0.0, 0.02, 0.3), zoom, roll)
