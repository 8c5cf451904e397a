"""A person as a vector, which vision pretraining predicts from an image of them, and the person of a vector."""

from __future__ import annotations

import numpy as np

from .person import BEARD_STYLES, HAIR_STYLES, NUM_SHAPE, Beard, Glasses, Hair, Person, Rgb
from .sampling import MAX_DEVIATE

NUM_OTHER = 3 + 3 * 4 + 2 + 2 + len(HAIR_STYLES) + len(BEARD_STYLES) + 1
CODE_SIZE = NUM_SHAPE + NUM_OTHER
# code of a style, a beard or glasses that are there; those that are not have 0
_PRESENT = 2.0


def person_code(person: Person) -> np.ndarray:
    """[CODE_SIZE] float32: the shape's components, then build, colours, hair, beard and glasses.

    All of about zero mean and unit spread over sampled people.
    """
    hair, beard, glasses = person.hair, person.beard, person.glasses
    colours = np.concatenate([person.skin, hair.colour, person.eyes, person.lips])
    scalars = [
        (person.gender - 0.5) * 2, (person.age - 0.4) * 4, (person.weight - 0.5) * 5,
        *((colours - 0.45) * 5), (person.brows - 0.5) * 3, person.freckles * 4,
        (hair.length - 0.5) * 3.5, (hair.fringe - 0.5) * 3.5,
    ]  # fmt: skip
    styles = [_PRESENT * (hair.style == style) for style in HAIR_STYLES]
    beards = [_PRESENT * (beard is not None and beard.style == style) for style in BEARD_STYLES]
    values = [*person.shape, *scalars, *styles, *beards, _PRESENT * (glasses is not None)]
    return np.asarray(values, np.float32)


def person_from_code(code: np.ndarray, name: str) -> Person:
    """The person of a code [CODE_SIZE]: numbers are clipped to their ranges, styles are the nearest ones.

    A code says neither the frame of glasses nor the density of a beard; they are those of an average person. So
    `person_code(person_from_code(code))` is the code of a sampled person again, up to rounding.
    """
    shape, rest = code[:NUM_SHAPE].astype(float), code[NUM_SHAPE:].astype(float)
    gender, age, weight = (rest[:3] / [2, 4, 5] + [0.5, 0.4, 0.5]).clip(0, 1).tolist()
    skin, hair_colour, eyes, lips = (_to_rgb(values) for values in (rest[3:15] / 5 + 0.45).reshape(4, 3))
    brows, freckles, length, fringe = (rest[15:19] / [3, 4, 3.5, 3.5] + [0.5, 0, 0.5, 0.5]).clip(0, 1).tolist()
    styles, beards, glasses = np.split(rest[19:], [len(HAIR_STYLES), -1])
    beard = int(beards.argmax())
    return Person(
        name=name,
        shape=tuple(shape.clip(-MAX_DEVIATE, MAX_DEVIATE).tolist()),
        gender=gender,
        age=age,
        weight=weight,
        skin=skin,
        eyes=eyes,
        lips=lips,
        brows=brows,
        freckles=freckles,
        hair=Hair(HAIR_STYLES[int(styles.argmax())], length, fringe, hair_colour),
        glasses=Glasses("square", 0.5, (0.08, 0.08, 0.09)) if glasses[0] > _PRESENT / 2 else None,
        beard=Beard(BEARD_STYLES[beard], 0.75) if beards[beard] > _PRESENT / 2 else None,
    )


def _to_rgb(values: np.ndarray) -> Rgb:
    red, green, blue = values.clip(0.02, 0.98).tolist()
    return (red, green, blue)
