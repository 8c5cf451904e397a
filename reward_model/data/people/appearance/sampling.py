"""Random people and clothes, each a function of its seed and name alone; look-alikes and blends of people."""

from __future__ import annotations

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

SKIN_COLOURS: tuple[Rgb, ...] = (
    (0.93, 0.78, 0.70), (0.90, 0.72, 0.61), (0.85, 0.66, 0.53), (0.80, 0.61, 0.47),
    (0.69, 0.50, 0.37), (0.56, 0.39, 0.28), (0.43, 0.29, 0.21),
)  # fmt: skip
# the last one is grey
HAIR_COLOURS: tuple[Rgb, ...] = (
    (0.09, 0.08, 0.08), (0.17, 0.11, 0.08), (0.30, 0.19, 0.12), (0.42, 0.27, 0.15),
    (0.60, 0.44, 0.24), (0.80, 0.66, 0.40), (0.56, 0.24, 0.11), (0.66, 0.65, 0.64),
)  # fmt: skip
EYE_COLOURS: tuple[Rgb, ...] = (
    (0.24, 0.14, 0.08),
    (0.36, 0.24, 0.12),
    (0.27, 0.45, 0.68),
    (0.32, 0.48, 0.30),
    (0.5, 0.53, 0.55),
)
HAIR_OF_WOMEN: tuple[HairStyle, ...] = ("long", "long", "bob", "bob", "bun", "ponytail", "parted", "curly", "short")
HAIR_OF_MEN: tuple[HairStyle, ...] = ("short", "short", "parted", "parted", "buzz", "curly", "bald", "bob", "bun")
# standard deviates of the face's shape are clipped to this
MAX_DEVIATE = 2.5


def _to_rgb(values: np.ndarray) -> Rgb:
    r, g, b = np.clip(values, 0.02, 0.98).tolist()
    return (r, g, b)


def _sample_between(palette: tuple[Rgb, ...], rng: np.random.Generator) -> Rgb:
    """A colour between one of the palette and its successor."""
    i, t, lightness = int(rng.integers(len(palette) - 1)), rng.uniform(), rng.normal() * 0.015
    return _to_rgb(np.asarray(palette[i]) * (1 - t) + np.asarray(palette[i + 1]) * t + lightness)


def _sample_around(colour: Rgb, rng: np.random.Generator, spread: float) -> Rgb:
    return _to_rgb(np.asarray(colour) * (1 + rng.normal() * spread))


def _sample_shape(rng: np.random.Generator) -> np.ndarray:
    """[NUM_SHAPE] float64."""
    return rng.standard_normal(NUM_SHAPE).clip(-MAX_DEVIATE, MAX_DEVIATE)


def sample_person(seed: int, name: str) -> Person:
    """An adult of random sex, age, build, face, colours, hair, beard and glasses; a function of (seed, name)."""
    rng = generator("person", seed, name)
    man = bool(rng.uniform() < 0.5)
    gender = float(rng.uniform(0.85, 1.0) if man else rng.uniform(0.0, 0.15))
    age, weight = float(rng.beta(1.2, 1.8)), float(rng.beta(2.5, 2.5))
    shape = tuple(_sample_shape(rng).tolist())
    skin = _sample_between(SKIN_COLOURS, rng)
    grey = age > 0.55 and rng.uniform() < age
    hair_colour = HAIR_COLOURS[-1] if grey else HAIR_COLOURS[int(rng.integers(len(HAIR_COLOURS) - 1))]
    colour = _sample_around(hair_colour, rng, 0.12)
    style = (HAIR_OF_MEN if man else HAIR_OF_WOMEN)[int(rng.integers(9))]
    hair = Hair(style, float(rng.uniform()), float(rng.uniform()), colour)
    beard_style: BeardStyle = BEARD_STYLES[int(rng.integers(4))]
    beard = Beard(beard_style, float(rng.uniform(0.5, 1.0)))
    has_beard, has_glasses = man and rng.uniform() < 0.45, rng.uniform() < 0.25
    frame = (0.08, 0.08, 0.09) if rng.uniform() < 0.6 else _to_rgb(rng.uniform(0.1, 0.6, 3))
    glasses = Glasses("round" if rng.uniform() < 0.5 else "square", float(rng.uniform()), frame)
    redness = rng.uniform(0.0, 0.5 if man else 1.0)
    lips = _to_rgb(np.asarray(skin) * (1 - 0.25 * redness) * [0.9, 0.66 - 0.12 * redness, 0.66 - 0.08 * redness])
    return Person(
        name=name,
        shape=shape,
        gender=gender,
        age=age,
        weight=weight,
        skin=skin,
        eyes=_sample_around(EYE_COLOURS[int(rng.integers(len(EYE_COLOURS)))], rng, 0.1),
        lips=lips,
        brows=float(rng.uniform(0.35 if man else 0.0, 1.0 if man else 0.6)),
        freckles=float(max(0.0, rng.normal() * 0.4 - 0.1)),
        hair=hair,
        glasses=glasses if has_glasses else None,
        beard=beard if has_beard else None,
    )


def sample_clothes(seed: int, name: str) -> Clothes:
    """A function of (seed, name)."""
    rng = generator("clothes", seed, name)
    hue, saturation, value = rng.uniform(), rng.uniform(0.25, 0.85), rng.uniform(0.25, 0.9)
    if rng.uniform() < 0.25:
        saturation, value = saturation * 0.12, rng.uniform(0.12, 0.95)
    colour = colorsys.hsv_to_rgb(hue, saturation, value)
    second = colorsys.hsv_to_rgb(hue + rng.uniform(0.25, 0.75), rng.uniform(0.0, 0.6), 0.95 if value < 0.6 else 0.2)
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))] if rng.uniform() < 0.6 else "plain"
    return Clothes(colour, second, pattern, NECKLINES[int(rng.integers(len(NECKLINES)))])


def similar_person(person: Person, seed: int, distance: float, name: str | None = None) -> Person:
    """A look-alike: the person's colours, hair, glasses, beard and build with another face.

    `distance` in 0..1: 0 keeps the person's own face, 1 gives one as far away as an unrelated person's. ValueError
    outside of that range.
    """
    if not 0 <= distance <= 1:
        raise ValueError(f"distance {distance}; it lies in 0..1")
    rng = generator("similar", seed, person.name)
    other, original = _sample_shape(rng), np.asarray(person.shape)
    # on the arc between them, so that the face's deviation from the mean face keeps its size
    shape = original * np.cos(distance * np.pi / 2) + other * np.sin(distance * np.pi / 2)
    return replace(person, name=name or f"{person.name}~{seed}", shape=tuple(shape.tolist()))


def blend_people(a: Person, b: Person, t: float, name: str | None = None) -> Person:
    """The person at `t` between two people: 0 gives a, 1 gives b. ValueError for t outside of 0..1.

    Numbers and colours are interpolated; hair style, glasses and beard change at 0.5.
    """
    if not 0 <= t <= 1:
        raise ValueError(f"t {t}; it lies in 0..1")

    def mix(x: float, y: float) -> float:
        return x * (1 - t) + y * t

    def mix_all(x: tuple[float, ...], y: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(mix(p, q) for p, q in zip(x, y, strict=True))

    def mix_colours(x: Rgb, y: Rgb) -> Rgb:
        r, g, b = mix_all(x, y)
        return (r, g, b)

    nearer = a if t < 0.5 else b
    return replace(
        nearer,
        name=name or nearer.name,
        shape=mix_all(a.shape, b.shape),
        gender=mix(a.gender, b.gender),
        age=mix(a.age, b.age),
        weight=mix(a.weight, b.weight),
        skin=mix_colours(a.skin, b.skin),
        eyes=mix_colours(a.eyes, b.eyes),
        lips=mix_colours(a.lips, b.lips),
        brows=mix(a.brows, b.brows),
        freckles=mix(a.freckles, b.freckles),
        hair=replace(nearer.hair, colour=mix_colours(a.hair.colour, b.hair.colour)),
    )
