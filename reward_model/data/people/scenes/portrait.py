"""Reference portraits: head and shoulders in the clip's clothes, in another pose, light and place than the clip's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reward_model.data.seeding import generator

from ..appearance.person import Clothes, Person
from .renderer import Renderer
from .sampling import sample_background, sample_light
from .scene import Actor, Background, Expression, Light, Pose, Scene

SIDE_PX = 256


@dataclass(frozen=True)
class Portrait:
    person: Person
    clothes: Clothes
    pose: Pose
    expression: Expression
    light: Light
    background: Background

    def render(self, renderer: Renderer) -> np.ndarray:
        """uint8 RGB [SIDE_PX, SIDE_PX, 3]."""
        actor = Actor(self.person, self.clothes, self.pose, self.expression)
        return renderer.render(Scene((actor,), self.background, self.light), SIDE_PX, SIDE_PX).rgb


def sample_portrait(seed: int, person: Person, clothes: Clothes) -> Portrait:
    """A function of the seed and the person's name."""
    rng = generator("portrait", seed, person.name)
    yaw = float(rng.choice([-1, 1]) * rng.uniform(4, 26))
    pose = Pose(
        yaw=yaw,
        pitch=float(rng.uniform(-8, 8)),
        roll=float(rng.uniform(-6, 6)),
        x=float(0.5 + rng.uniform(-0.04, 0.04)),
        y=float(rng.uniform(0.4, 0.46)),
        size=float(rng.uniform(0.48, 0.58)),
        turn=float(yaw * 0.6),
    )
    expression = Expression(
        smile=float(max(rng.uniform(-0.6, 0.9), 0)),
        jaw_open=float(max(rng.uniform(-1.0, 0.5), 0)),
        brows_up=float(max(rng.uniform(-1.0, 0.8), 0)),
        brows_down=float(max(rng.uniform(-1.5, 0.6), 0)),
        gaze_x=float(rng.uniform(-12, 12)),
    )
    name = f"portrait of {person.name}"
    return Portrait(person, clothes, pose, expression, sample_light(seed, name), sample_background(seed, name))
