"""Random lights and backgrounds, each a function of its seed and name alone."""

from __future__ import annotations

from reward_model.data.seeding import generator

from .scene import BACKGROUNDS, Background, Light


def sample_light(seed: int, name: str) -> Light:
    """From the left, the front or the right and from above; warm to cool."""
    rng = generator("light", seed, name)
    direction = (float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.1, 0.8)), 0.9)
    warmth, strength, fill = rng.normal() * 0.05, rng.uniform(0.52, 0.74), rng.uniform(0.3, 0.44)
    return Light(
        direction,
        (float(strength * (1 + warmth)), float(strength), float(strength * (1 - warmth))),
        (float(fill), float(fill), float(fill * 1.05)),
    )


def sample_background(seed: int, name: str) -> Background:
    rng = generator("background", seed, name)
    return Background(BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))], int(rng.integers(2**31)))
