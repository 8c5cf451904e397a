"""Motion of people and of the camera in a clip: random smooth functions of time.

Times are seconds from the clip's start, angles degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi, sin

import numpy as np

from .scene import Camera, Expression, Pose

# the mean yaw of a face in a clip is at least this far from its yaw in the reference
MIN_YAW_DIFFERENCE = 14
# from the middle of a blink to its ends
BLINK_HALF_S = 0.1


@dataclass(frozen=True)
class Wave:
    """A constant plus a few slow sines, each (amplitude, frequency in Hz, phase in radians)."""

    base: float
    sines: tuple[tuple[float, float, float], ...] = ()

    def at(self, time_s: float) -> float:
        return self.base + sum(a * sin(2 * pi * rate * time_s + phase) for a, rate, phase in self.sines)


def sample_wave(rng: np.random.Generator, base: float, amplitude: float, rate_hz: float = 0.4, sines: int = 2) -> Wave:
    """A wave that stays within `amplitude` of `base`; frequencies lie in 0.5 to 1.6 times `rate_hz`."""
    shares = rng.dirichlet(np.full(sines, 2.0)).tolist()
    return Wave(
        base,
        tuple(
            (amplitude * share, float(rate_hz * rng.uniform(0.5, 1.6)), float(rng.uniform(0, 2 * pi)))
            for share in shares
        ),
    )


@dataclass(frozen=True)
class PersonMotion:
    """Pose and expression of a person over a clip. `blinks_s`: the middles of blinks of a fifth of a second."""

    yaw: Wave
    pitch: Wave
    roll: Wave
    x: Wave
    y: Wave
    size: float
    turn: float
    smile: Wave
    talk: Wave
    brows: Wave
    gaze_x: Wave
    gaze_y: Wave
    blinks_s: tuple[float, ...]

    def pose(self, time_s: float) -> Pose:
        yaw, pitch, roll, x, y = (w.at(time_s) for w in (self.yaw, self.pitch, self.roll, self.x, self.y))
        return Pose(yaw, pitch, roll, x, y, self.size, self.turn)

    def expression(self, time_s: float) -> Expression:
        blink = max((1 - abs(time_s - middle) / BLINK_HALF_S for middle in self.blinks_s), default=0.0)
        brows = self.brows.at(time_s)
        return Expression(
            smile=_clip_to_unit(self.smile.at(time_s)),
            jaw_open=_clip_to_unit(self.talk.at(time_s)),
            blink=_clip_to_unit(blink),
            brows_up=_clip_to_unit(brows),
            brows_down=_clip_to_unit(-brows),
            gaze_x=self.gaze_x.at(time_s),
            gaze_y=self.gaze_y.at(time_s),
        )

    def moved_to(self, x: float, size: float) -> PersonMotion:
        """The same motion around another x and at another size, both as in `Pose`."""
        return replace(self, x=replace(self.x, base=x), size=size)


def _clip_to_unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def sample_person_motion(
    rng: np.random.Generator, x: float, size: float, duration_s: float, not_yaw: float
) -> PersonMotion:
    """Motion around (x, 0.45) at `size` (as in `Pose`), whose mean yaw is not near `not_yaw`."""
    yaw = float(rng.uniform(-24, 24))
    while abs(yaw - not_yaw) < MIN_YAW_DIFFERENCE:
        yaw = float(rng.uniform(-24, 24))
    talks = rng.uniform() < 0.4
    blinks = np.cumsum(rng.uniform(0.5, 3.0, 8))
    return PersonMotion(
        yaw=sample_wave(rng, yaw, float(rng.uniform(6, 16))),
        pitch=sample_wave(rng, float(rng.uniform(-7, 7)), float(rng.uniform(2, 8))),
        roll=sample_wave(rng, float(rng.uniform(-5, 5)), float(rng.uniform(1, 5))),
        x=sample_wave(rng, x, float(rng.uniform(0.005, 0.025)), 0.3),
        y=sample_wave(rng, float(rng.uniform(0.42, 0.47)), float(rng.uniform(0.004, 0.015)), 0.3),
        size=size,
        turn=float(yaw * 0.5 + rng.uniform(-8, 8)),
        smile=sample_wave(rng, float(rng.uniform(-0.2, 0.6)), float(rng.uniform(0.1, 0.4)), 0.4),
        talk=sample_wave(rng, 0.2, 0.35, 2.5) if talks else Wave(0.0),
        brows=sample_wave(rng, float(rng.uniform(-0.2, 0.3)), 0.4),
        gaze_x=sample_wave(rng, float(-0.4 * yaw), 8.0, 0.7),
        gaze_y=sample_wave(rng, 0.0, 5.0, 0.7),
        blinks_s=tuple(float(middle) for middle in blinks if middle < duration_s),
    )


@dataclass(frozen=True)
class CameraMotion:
    dx: Wave
    dy: Wave
    zoom: Wave
    roll: Wave

    def at(self, time_s: float) -> Camera:
        return Camera(*(wave.at(time_s) for wave in (self.dx, self.dy, self.zoom, self.roll)))


def sample_camera_motion(rng: np.random.Generator) -> CameraMotion:
    """A hand-held camera in three of four cases, else one on a tripod."""
    hand = float(rng.uniform(0.1, 1.0)) if rng.uniform() < 0.75 else 0.0
    return CameraMotion(
        dx=sample_wave(rng, 0.0, 0.02 * hand, 0.35),
        dy=sample_wave(rng, 0.0, 0.015 * hand, 0.35),
        zoom=sample_wave(rng, 1.0, 0.05 * hand, 0.25),
        roll=sample_wave(rng, 0.0, 1.5 * hand, 0.3),
    )
