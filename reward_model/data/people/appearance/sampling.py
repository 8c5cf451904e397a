"""Draws of people, clothes, lights and backgrounds: each a function of its seed and name, and of nothing else."""

import colorsys
from dataclasses import replace

import numpy as np

from reward_model.data.seeding import generator

from .person import (
    BEARD_STYLES,
    NECKLINES,
    NUM_SHAPE,
    PATTERNS,
    Beard,
    BeardStyle,
    Clothes,
    Glasses,
    Hair,
    HairStyle,
    Person,
    Rgb,
)
from ..scenes.scene import BACKGROUNDS, Background, Light

SKINS: tuple[Rgb, ...] = (
    (0.93, 0.78, 0.70), (0.90, 0.72, 0.61), (0.85, 0.66, 0.53), (0.80, 0.61, 0.47),
    (0.69, 0.50, 0.37), (0.56, 0.39, 0.28), (0.43, 0.29, 0.21),
)  # fmt: skip
HAIRS: tuple[Rgb, ...] = (
    (0.09, 0.08, 0.08), (0.17, 0.11, 0.08), (0.30, 0.19, 0.12), (0.42, 0.27, 0.15),
    (0.60, 0.44, 0.24), (0.80, 0.66, 0.40), (0.56, 0.24, 0.11), (0.66, 0.65, 0.64),
)  # fmt: skip
EYES: tuple[Rgb, ...] = (
    (0.24, 0.14, 0.08),
    (0.36, 0.24, 0.12),
    (0.27, 0.45, 0.68),
    (0.32, 0.48, 0.30),
    (0.5, 0.53, 0.55),
)
HAIR_OF_WOMEN: tuple[HairStyle, ...] = ("long", "long", "bob", "bob", "bun", "ponytail", "parted", "curly", "short")
HAIR_OF_MEN: tuple[HairStyle, ...] = ("short", "short", "parted", "parted", "buzz", "curly", "bald", "bob", "bun")


def _rgb(values: np.ndarray) -> Rgb:
    r, g, b = np.clip(values, 0.02, 0.98).tolist()
    return (r, g, b)


def _near(palette: tuple[Rgb, ...], rng: np.random.Generator) -> Rgb:
    """A colour between one of the palette and its neighbour."""
    i, t, lightness = int(rng.integers(len(palette) - 1)), rng.uniform(), rng.normal() * 0.015
    return _rgb(np.asarray(palette[i]) * (1 - t) + np.asarray(palette[i + 1]) * t + lightness)


def _around(colour: Rgb, rng: np.random.Generator, spread: float) -> Rgb:
    return _rgb(np.asarray(colour) * (1 + rng.normal() * spread))


def draw_person(seed: int, name: str) -> Person:
    """An adult; sex, age, build, face, colours, hair, beard and glasses are drawn from (seed, name)."""
    rng = generator("person", seed, name)
    man = bool(rng.uniform() < 0.5)
    gender = float(rng.uniform(0.85, 1.0) if man else rng.uniform(0.0, 0.15))
    age, weight = float(rng.beta(1.2, 1.8)), float(rng.beta(2.5, 2.5))
    shape = tuple(rng.standard_normal(NUM_SHAPE).clip(-2.5, 2.5).tolist())
    skin = _near(SKINS, rng)
    grey = age > 0.55 and rng.uniform() < age
    colour = _around(HAIRS[-1] if grey else HAIRS[int(rng.integers(len(HAIRS) - 1))], rng, 0.12)
    style = (HAIR_OF_MEN if man else HAIR_OF_WOMEN)[int(rng.integers(9))]
    hair = Hair(style, float(rng.uniform()), float(rng.uniform()), colour)
    beard_style: BeardStyle = BEARD_STYLES[int(rng.integers(4))]
    beard = Beard(beard_style, float(rng.uniform(0.5, 1.0)))
    has_beard, has_glasses = man and rng.uniform() < 0.45, rng.uniform() < 0.25
    frame = (0.08, 0.08, 0.09) if rng.uniform() < 0.6 else _rgb(rng.uniform(0.1, 0.6, 3))
    glasses = Glasses("round" if rng.uniform() < 0.5 else "square", float(rng.uniform()), frame)
    redness = rng.uniform(0.0, 0.5 if man else 1.0)
    lips = _rgb(np.asarray(skin) * (1 - 0.25 * redness) * [0.9, 0.66 - 0.12 * redness, 0.66 - 0.08 * redness])
    return Person(
        name=name,
        shape=shape,
        gender=gender,
        age=age,
        weight=weight,
        skin=skin,
        eyes=_around(EYES[int(rng.integers(len(EYES)))], rng, 0.1),
        lips=lips,
        brows=float(rng.uniform(0.35 if man else 0.0, 1.0 if man else 0.6)),
        freckles=float(max(0.0, rng.normal() * 0.4 - 0.1)),
        hair=hair,
        glasses=glasses if has_glasses else None,
        beard=beard if has_beard else None,
    )


def draw_clothes(seed: int, name: str) -> Clothes:
    rng = generator("clothes", seed, name)
    hue, saturation, value = rng.uniform(), rng.uniform(0.25, 0.85), rng.uniform(0.25, 0.9)
    if rng.uniform() < 0.25:
        saturation, value = saturation * 0.12, rng.uniform(0.12, 0.95)
    colour = colorsys.hsv_to_rgb(hue, saturation, value)
    second = colorsys.hsv_to_rgb(hue + rng.uniform(0.25, 0.75), rng.uniform(0.0, 0.6), 0.95 if value < 0.6 else 0.2)
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))] if rng.uniform() < 0.6 else "plain"
    return Clothes(colour, second, pattern, NECKLINES[int(rng.integers(len(NECKLINES)))])


def draw_light(seed: int, name: str) -> Light:
    """From the left, the front or the right and from above, warm to cool."""
    rng = generator("light", seed, name)
    direction = (float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.1, 0.8)), 0.9)
    warmth, strength, fill = rng.normal() * 0.05, rng.uniform(0.52, 0.74), rng.uniform(0.3, 0.44)
    return Light(
        direction,
        (float(strength * (1 + warmth)), float(strength), float(strength * (1 - warmth))),
        (float(fill), float(fill), float(fill * 1.05)),
    )


def draw_background(seed: int, name: str) -> Background:
    rng = generator("background", seed, name)
    return Background(BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))], int(rng.integers(2**31)))


def similar(person: Person, seed: int, distance: float, name: str | None = None) -> Person:
    """An impostor: the person's colours, hair, glasses, beard and build over another face.

    distance 0 is the person's own shape, 1 a face as far away as an unrelated one.
    """
    if not 0 <= distance <= 1:
        raise ValueError(f"distance {distance}; it lies in 0..1")
    rng = generator("similar", seed, person.name)
    other, own = rng.standard_normal(NUM_SHAPE).clip(-2.5, 2.5), np.asarray(person.shape)
    # on the arc between them, so that the face keeps an ordinary strength
    shape = own * np.cos(distance * np.pi / 2) + other * np.sin(distance * np.pi / 2)
    return replace(person, name=name or f"{person.name}~{seed}", shape=tuple(shape.tolist()))


def blend(a: Person, b: Person, t: float, name: str | None = None) -> Person:
    """The person between two: numbers and colours mix, t = 0 gives a and t = 1 gives b; what has no middle (hair style,
    glasses, beard) changes at 0.5."""
    if not 0 <= t <= 1:
        raise ValueError(f"t {t}; it lies in 0..1")

    def mix(x, y):
        if isinstance(x, tuple):
            return tuple(mix(p, q) for p, q in zip(x, y, strict=True))
        return x * (1 - t) + y * t

    near = a if t < 0.5 else b
    numbers = ("shape", "gender", "age", "weight", "skin", "eyes", "lips", "brows", "freckles")
    hair = Hair(near.hair.style, near.hair.length, near.hair.fringe, mix(a.hair.colour, b.hair.colour))
    mixed = {key: mix(getattr(a, key), getattr(b, key)) for key in numbers}
    return replace(near, name=name or near.name, hair=hair, **mixed)
