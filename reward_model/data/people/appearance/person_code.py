"""A person as a vector, which vision pretraining predicts from an image of them."""

from __future__ import annotations

import numpy as np

from .person import BEARD_STYLES, HAIR_STYLES, NUM_SHAPE, Person

NUM_OTHER = 3 + 3 * 4 + 2 + 2 + len(HAIR_STYLES) + len(BEARD_STYLES) + 1
CODE_SIZE = NUM_SHAPE + NUM_OTHER


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
    styles = [2.0 * (hair.style == style) for style in HAIR_STYLES]
    beards = [2.0 * (beard is not None and beard.style == style) for style in BEARD_STYLES]
    values = [*person.shape, *scalars, *styles, *beards, 2.0 * (glasses is not None)]
    return np.asarray(values, np.float32)
