"""How heads, faces and the camera move in a clip: smooth functions of time, drawn once, read at any frame.

Times are seconds from the clip's start, angles degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi, sin

import numpy as np

from .scene import Camera, Expression, Pose


@dataclass(frozen=True)
class Wave:
    """A base and a few slow sines: (amplitude, rate in Hz, phase in radians)."""

    base: float
    sines: tuple[tuple[float, float, float], ...] = ()

    def at(self, time_s: float) -> float:
        return self.base + sum(a * sin(2 * pi * rate * time_s + phase) for a, rate, phase in self.sines)


def draw_wave(rng: np.random.Generator, base: float, amplitude: float, rate_hz: float = 0.4, sines: int = 2) -> Wave:
    """Stays within `amplitude` of the base."""
    shares = rng.dirichlet(np.full(sines, 2.0)).tolist()
    return Wave(
        base,
        tuple(
            (amplitude * share, float(rate_hz * rng.uniform(0.5, 1.6)), float(rng.uniform(0, 2 * pi)))
            for share in shares
        ),
    )


@dataclass(frozen=True)
class HeadMotion:
    """A head's way through a clip; `blinks_s` are the middles of blinks of a fifth of a second."""

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
        blink = max((1 - abs(time_s - middle) / 0.1 for middle in self.blinks_s), default=0.0)
        brows = self.brows.at(time_s)
        return Expression(
            smile=_unit(self.smile.at(time_s)),
            jaw_open=_unit(self.talk.at(time_s)),
            blink=_unit(blink),
            brows_up=_unit(brows),
            brows_down=_unit(-brows),
            gaze_x=self.gaze_x.at(time_s),
            gaze_y=self.gaze_y.at(time_s),
        )

    def at_place(self, x: float, size: float) -> HeadMotion:
        """The same motion elsewhere in the frame."""
        return replace(self, x=replace(self.x, base=x), size=size)


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def draw_head(rng: np.random.Generator, x: float, size: float, duration_s: float, not_yaw: float) -> HeadMotion:
    """A head around (x, 0.45), `size` of the frame high, whose mean yaw is not within 14 degrees of `not_yaw`."""
    yaw = float(rng.uniform(-24, 24))
    while abs(yaw - not_yaw) < 14:
        yaw = float(rng.uniform(-24, 24))
    talks = rng.uniform() < 0.4
    blinks = np.cumsum(rng.uniform(0.5, 3.0, 8))
    return HeadMotion(
        yaw=draw_wave(rng, yaw, float(rng.uniform(6, 16))),
        pitch=draw_wave(rng, float(rng.uniform(-7, 7)), float(rng.uniform(2, 8))),
        roll=draw_wave(rng, float(rng.uniform(-5, 5)), float(rng.uniform(1, 5))),
        x=draw_wave(rng, x, float(rng.uniform(0.005, 0.025)), 0.3),
        y=draw_wave(rng, float(rng.uniform(0.42, 0.47)), float(rng.uniform(0.004, 0.015)), 0.3),
        size=size,
        turn=float(yaw * 0.5 + rng.uniform(-8, 8)),
        smile=draw_wave(rng, float(rng.uniform(-0.2, 0.6)), float(rng.uniform(0.1, 0.4)), 0.4),
        talk=draw_wave(rng, 0.2, 0.35, 2.5) if talks else Wave(0.0),
        brows=draw_wave(rng, float(rng.uniform(-0.2, 0.3)), 0.4),
        gaze_x=draw_wave(rng, float(-0.4 * yaw), 8.0, 0.7),
        gaze_y=draw_wave(rng, 0.0, 5.0, 0.7),
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


def draw_camera(rng: np.random.Generator) -> CameraMotion:
    """A hand-held camera, or one on a tripod."""
    hand = float(rng.uniform(0.1, 1.0)) if rng.uniform() < 0.75 else 0.0
    return CameraMotion(
        dx=draw_wave(rng, 0.0, 0.02 * hand, 0.35),
        dy=draw_wave(rng, 0.0, 0.015 * hand, 0.35),
        zoom=draw_wave(rng, 1.0, 0.05 * hand, 0.25),
        roll=draw_wave(rng, 0.0, 1.5 * hand, 0.3),
    )
