"""What a renderer is asked for: people in front of a background, and the frame that comes back.

Camera axes: x to the right of the picture, y up, z towards the camera. Angles are in degrees.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from ..appearance.person import Clothes, Person, Rgb

BackgroundKind = Literal["gradient", "window", "bricks", "stripes", "bokeh", "outdoors"]
BACKGROUNDS: tuple[BackgroundKind, ...] = ("gradient", "window", "bricks", "stripes", "bokeh", "outdoors")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pose:
    """Where a head is and how it is turned.

    yaw > 0 turns the face to the right of the picture, pitch > 0 up, roll > 0 clockwise in the picture. The neck
    takes yaw - turn of up to 70, pitch and roll of up to 35.
    x, y: the head's centre in frame widths from the left and frame heights from the top.
    size: height of the head, chin to crown, as a share of the frame's height.
    turn: the yaw of the shoulders (the head has its own, `yaw`).
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
    """Weights 0..1 of facial actions; gaze_x (to the right of the picture), gaze_y (up): degrees, -25..25."""

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
    """person: whose head; body: whose build below the neck, the person's own if None (for exchanged faces)."""

    person: Person
    clothes: Clothes
    pose: Pose = field(default_factory=Pose)
    expression: Expression = field(default_factory=Expression)
    body: Person | None = None


@dataclass(frozen=True)
class Light:
    """direction: towards the light; its length does not matter. colour and ambient are linear factors, about 0..1.5."""

    direction: tuple[float, float, float] = (-0.4, 0.5, 0.8)
    colour: Rgb = (0.66, 0.65, 0.62)
    ambient: Rgb = (0.38, 0.39, 0.41)


@dataclass(frozen=True)
class Background:
    """Drawn by procedure from its seed: the same seed, kind and frame size give the same pixels."""

    kind: BackgroundKind
    seed: int


@dataclass(frozen=True)
class Camera:
    """Moves the picture plane: dx, dy in frame widths and heights (people go the other way), zoom > 1 nearer, roll."""

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


@dataclass(frozen=True)
class Frame:
    """rgb [H, W, 3] uint8; heads: per actor the box (x0, y0, x1, y1) in pixels of the head without hair and neck, cut
    to the frame, or None where it is outside. A head that another actor covers keeps its box."""

    rgb: np.ndarray
    heads: tuple[Box | None, ...]


class Renderer(Protocol):
    """The same scene and size give the same pixels, run to run on one machine."""

    kind: str

    def render(self, scene: Scene, width: int, height: int) -> Frame: ...

    def close(self) -> None: ...
