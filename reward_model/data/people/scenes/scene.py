"""A scene: people in front of a background, under a light, seen by a camera.

Camera axes: x to the right of the image, y up, z towards the camera. Angles are in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..appearance.person import Clothes, Person, Rgb

BackgroundKind = Literal["gradient", "window", "bricks", "stripes", "bokeh", "outdoors"]
BACKGROUNDS: tuple[BackgroundKind, ...] = ("gradient", "window", "bricks", "stripes", "bokeh", "outdoors")


@dataclass(frozen=True)
class Pose:
    """Position, size and orientation of a person's face in the frame.

    yaw > 0 turns the face to the right of the image, pitch > 0 up, roll > 0 clockwise in the image. The neck takes
    yaw - turn of up to 70, pitch and roll of up to 35.
    x, y: the face's centre in frame widths from the left and frame heights from the top.
    size: height from chin to crown as a share of the frame's height.
    turn: yaw of the shoulders.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.5
    y: float = 0.45
    size: float = 0.45
    turn: float = 0.0


@dataclass(frozen=True)
class Expression:
    """Weights 0..1 of facial actions; gaze_x (to the right of the image) and gaze_y (up) in degrees, -25..25."""

    smile: float = 0.0
    frown: float = 0.0
    jaw_open: float = 0.0
    pucker: float = 0.0
    blink: float = 0.0
    wide: float = 0.0
    brows_up: float = 0.0
    brows_down: float = 0.0
    puff: float = 0.0
    sneer: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0


@dataclass(frozen=True)
class Actor:
    """A person in a scene. `body`: whose build is below the neck, the person's own if None (for exchanged faces)."""

    person: Person
    clothes: Clothes
    pose: Pose = field(default_factory=Pose)
    expression: Expression = field(default_factory=Expression)
    body: Person | None = None


@dataclass(frozen=True)
class Light:
    """direction: towards the light, of any length. colour, ambient: factors of linear colour, about 0..1.5."""

    direction: tuple[float, float, float] = (-0.4, 0.5, 0.8)
    colour: Rgb = (0.66, 0.65, 0.62)
    ambient: Rgb = (0.38, 0.39, 0.41)


@dataclass(frozen=True)
class Background:
    """Painted procedurally: the same kind, seed and frame size give the same pixels."""

    kind: BackgroundKind
    seed: int


@dataclass(frozen=True)
class Camera:
    """Moves the image plane by dx, dy (frame widths and heights; people move the other way), zoom (> 1: near), roll."""

    dx: float = 0.0
    dy: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0


@dataclass(frozen=True)
class Scene:
    """actors: from the back to the front; a later one covers an earlier one, whatever their sizes."""

    actors: tuple[Actor, ...]
    background: Background
    light: Light = field(default_factory=Light)
    camera: Camera = field(default_factory=Camera)
