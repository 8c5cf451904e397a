"""Clips over photographs: each person fills a strip of the frame, and a camera pans and zooms over their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..scenarios.scenario import ClipSize
from ..scenes.clip_plan import Damage
from ..scenes.degradation import damaged, lower_resolution
from ..scenes.motion import CameraMotion
from .openpeople import PEOPLE, photograph

# how far strips run into each other, as a share of the frame's width
FEATHER = 0.08


@dataclass(frozen=True)
class Shot:
    """A picture from `start` of the clip on. blend_to: (person, picture, share reached at the clip's end)."""

    start: float
    person: str
    picture: str
    blend_to: tuple[str, str, float] | None = None


@dataclass(frozen=True)
class Strip:
    """One person's place: the shots follow each other. face: its height as a share of the frame's."""

    shots: tuple[Shot, ...]
    face: float
    camera: CameraMotion
    shown: tuple[float, float] = (0.0, 1.0)

    def shot(self, at: float) -> Shot:
        return [shot for shot in self.shots if shot.start <= at][-1]


@dataclass(frozen=True)
class PhotoPlan:
    """As `ClipPlan`; light: gains of red, green and blue at the first and at the last frame."""

    name: str
    strips: tuple[Strip, ...]
    light: tuple[tuple[float, float, float], tuple[float, float, float]]
    crf: int
    size: ClipSize
    damage: tuple[Damage, ...] = ()
    resolution: float = 1.0
    modes: dict[str, float] = field(default_factory=dict)

    @property
    def people(self) -> frozenset[str]:
        """Everybody who is seen at any time, impostors among them."""
        shots = [shot for strip in self.strips if strip.shown[1] >= 0 for shot in strip.shots]
        blended = {shot.blend_to[0] for shot in shots if shot.blend_to is not None}
        return frozenset(shot.person for shot in shots) | blended

    def draw(self, frames: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3] of the frames with these numbers, before compression."""
        return np.stack([self._frame(number) for number in frames])

    def _frame(self, number: int) -> np.ndarray:
        at, time_s = number / max(self.size.num_frames - 1, 1), number / self.size.fps
        shown = [(n, s) for n, s in enumerate(self.strips) if s.shown[0] <= at <= s.shown[1]]
        width, height = self.size.width, self.size.height
        picture = np.zeros((height, width, 3), np.float32)
        for place, (index, strip) in enumerate(shown):
            view, box = _view(strip, at, time_s, place, len(shown), self.size)
            for damage in self.damage:
                if damage.part == index and damage.span[0] <= at <= damage.span[1]:
                    view = damaged(view, box, damage.kind, damage.strength)
            picture += view * _share(place, len(shown), width)[None, :, None]
        first, last = np.array(self.light)
        lit = np.clip(np.rint(picture * (first + (last - first) * at)), 0, 255).astype(np.uint8)
        return lower_resolution(lit, self.resolution)


def _view(strip: Strip, at: float, time_s: float, place: int, count: int, size: ClipSize):
    """The whole frame filled by one strip's picture, its face in the middle of the strip, and the head's box."""
    shot, camera = strip.shot(at), strip.camera.at(time_s)
    middle = ((place + 0.5) / count + camera.dx) * size.width, (0.42 + camera.dy) * size.height
    edges = (place / count - FEATHER / 2) * size.width, ((place + 1) / count + FEATHER / 2) * size.width
    face = strip.face * size.height * camera.zoom
    shown = [(shot.person, shot.picture)] + ([shot.blend_to[:2]] if shot.blend_to is not None else [])
    # large enough that no picture ends within the strip
    face = max(face, *(_least_face(*picture, middle, edges, size) for picture in shown))
    views = [_placed(*picture, face, middle, size.width, size.height) for picture in shown]
    view = views[0]
    if shot.blend_to is not None:
        t = min(max((at - 0.08) / 0.84, 0), 1)
        share = shot.blend_to[2] * t * t * (3 - 2 * t)
        view = cv2.addWeighted(view, 1 - share, views[1], share, 0)
    box = (middle[0] - 0.45 * face, middle[1] - 0.65 * face, middle[0] + 0.45 * face, middle[1] + 0.55 * face)
    return view, box


def _least_face(
    person: str, picture: str, middle: tuple[float, float], edges: tuple[float, float], size: ClipSize
) -> float:
    """The face's height in pixels of the frame at which the picture just fills the strip."""
    x, y, box_width, box_height = PEOPLE[person].face(picture)
    height, width = photograph(person, picture).shape[:2]
    left, top = x + box_width / 2, y + box_height / 2
    spans = (
        (middle[0] - max(edges[0], 0)) / left,
        (min(edges[1], size.width) - middle[0]) / (width - left),
        middle[1] / top,
        (size.height - middle[1]) / (height - top),
    )
    return max(spans) * box_height


def _placed(person: str, picture: str, face: float, middle: tuple[float, float], width: int, height: int) -> np.ndarray:
    x, y, box_width, box_height = PEOPLE[person].face(picture)
    # drawn at twice the size and averaged, so that nothing flickers as it moves
    scale = 2 * face / box_height
    left, top = 2 * middle[0] - scale * (x + box_width / 2), 2 * middle[1] - scale * (y + box_height / 2)
    source = photograph(person, picture)
    while scale < 0.5:
        # a smaller copy of the picture first: interpolation takes only the nearest pixels
        source, scale = _half(person, picture, source.shape[0] // 2), scale * 2
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    double = (2 * width, 2 * height)
    large = cv2.warpAffine(source, matrix, double, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


_halves: dict[tuple[str, str, int], np.ndarray] = {}


def _half(person: str, picture: str, height: int) -> np.ndarray:
    key = (person, picture, height)
    if key not in _halves:
        whole = photograph(person, picture)
        times = whole.shape[0] / height
        size = (round(whole.shape[1] / times), height)
        _halves[key] = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    return _halves[key]


def _share(place: int, count: int, width: int) -> np.ndarray:
    """[W]: how much of each column is this strip's; the strips' shares sum to 1."""
    x = (np.arange(width) + 0.5) / width

    def after(edge: int) -> np.ndarray:
        if edge in (0, count):
            return np.full(width, 1.0 if edge == 0 else 0.0)
        t = np.clip((x - edge / count) / FEATHER + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    return (after(place) - after(place + 1)).astype(np.float32)
