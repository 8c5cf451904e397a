"""Descriptions of people in words, for prompts."""

from __future__ import annotations

import numpy as np

from .person import Clothes, Person, Rgb

COLOURS: dict[str, Rgb] = {
    "black": (0.1, 0.1, 0.1), "white": (0.95, 0.95, 0.95), "grey": (0.5, 0.5, 0.5), "red": (0.8, 0.15, 0.15),
    "orange": (0.9, 0.5, 0.15), "yellow": (0.9, 0.85, 0.25), "green": (0.2, 0.6, 0.25), "teal": (0.15, 0.6, 0.6),
    "blue": (0.2, 0.35, 0.8), "purple": (0.5, 0.25, 0.7), "pink": (0.9, 0.5, 0.7), "brown": (0.45, 0.3, 0.18),
}  # fmt: skip
HAIR_COLOURS: dict[str, Rgb] = {
    "black": (0.1, 0.09, 0.08), "brown": (0.32, 0.2, 0.12), "fair": (0.72, 0.56, 0.32), "red": (0.56, 0.24, 0.11),
    "grey": (0.66, 0.65, 0.64),
}  # fmt: skip
HAIR = {
    "bald": "a bald head", "buzz": "cropped {} hair", "short": "short {} hair", "parted": "parted {} hair",
    "curly": "curly {} hair", "bob": "a {} bob", "long": "long {} hair", "bun": "{} hair in a bun",
    "ponytail": "a {} ponytail",
}  # fmt: skip
BEARDS = {"stubble": "stubble", "moustache": "a moustache", "goatee": "a goatee", "full": "a beard"}
PATTERNS = {"plain": "{}", "stripes": "{} striped", "checks": "{} checked", "dots": "{} dotted", "halves": "{} and {}"}


def colour_name(colour: Rgb, names: dict[str, Rgb] = COLOURS) -> str:
    """The name of the nearest colour."""
    return min(names, key=lambda name: float(np.square(np.subtract(names[name], colour)).sum()))


def describe(person: Person, clothes: Clothes) -> str:
    """A short phrase: "a woman with short brown hair and glasses in a red striped shirt"."""
    parts = [HAIR[person.hair.style].format(colour_name(person.hair.colour, HAIR_COLOURS))]
    if person.beard:
        parts.append(BEARDS[person.beard.style])
    if person.glasses:
        parts.append("glasses")
    features = " and ".join(parts) if len(parts) < 3 else f"{parts[0]}, {parts[1]} and {parts[2]}"
    shirt = PATTERNS[clothes.pattern].format(colour_name(clothes.colour), colour_name(clothes.second))
    article = "an" if shirt[0] in "aeiou" else "a"
    who = "man" if person.gender >= 0.5 else "woman"
    if person.age > 0.7:
        who = f"elderly {who}"
    return f"{'an' if who[0] == 'e' else 'a'} {who} with {features} in {article} {shirt} shirt"
