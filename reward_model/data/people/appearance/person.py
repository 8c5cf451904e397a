"""Parameters of a rendered person and of their clothes. Colours are sRGB, 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rgb = tuple[float, float, float]

# shape components of the mesh model (meshes/assets/basis.npz)
NUM_SHAPE = 64

HairStyle = Literal["bald", "buzz", "short", "parted", "curly", "bob", "long", "bun", "ponytail"]
HAIR_STYLES: tuple[HairStyle, ...] = ("bald", "buzz", "short", "parted", "curly", "bob", "long", "bun", "ponytail")
BeardStyle = Literal["stubble", "moustache", "goatee", "full"]
BEARD_STYLES: tuple[BeardStyle, ...] = ("stubble", "moustache", "goatee", "full")
GlassesShape = Literal["round", "square"]
Pattern = Literal["plain", "stripes", "checks", "dots", "halves"]
PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "checks", "dots", "halves")
Neckline = Literal["crew", "v", "turtle", "wide"]
NECKLINES: tuple[Neckline, ...] = ("crew", "v", "turtle", "wide")


@dataclass(frozen=True)
class Hair:
    """length and fringe (how far the hair reaches down the forehead): 0..1 within the style."""

    style: HairStyle
    length: float
    fringe: float
    colour: Rgb


@dataclass(frozen=True)
class Glasses:
    """size 0..1."""

    shape: GlassesShape
    size: float
    colour: Rgb


@dataclass(frozen=True)
class Beard:
    """density 0..1; its colour is the hair's, a little darker."""

    style: BeardStyle
    density: float


@dataclass(frozen=True)
class Person:
    """An identity: all that stays when clothes, pose, expression and light change.

    shape: [NUM_SHAPE] standard normal deviates along the principal components of faces.
    gender (0 a woman, 1 a man), age (0 about 20 years, 1 about 70) and weight (0 thin, 1 heavy): 0..1.
    brows (thickness), freckles: 0..1.
    """

    name: str
    shape: tuple[float, ...]
    gender: float
    age: float
    weight: float
    skin: Rgb
    eyes: Rgb
    lips: Rgb
    brows: float
    freckles: float
    hair: Hair
    glasses: Glasses | None = None
    beard: Beard | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != NUM_SHAPE:
            raise ValueError(f"person {self.name}: shape has {len(self.shape)} values; it takes {NUM_SHAPE}")


@dataclass(frozen=True)
class Clothes:
    """second: the pattern's other colour."""

    colour: Rgb
    second: Rgb
    pattern: Pattern
    neckline: Neckline
