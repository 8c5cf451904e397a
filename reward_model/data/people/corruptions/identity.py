"""Corruptions of who is in a clip: replaced, exchanged, missing, duplicated, drifting and switching people.

Severities are those of `data.corruption_kinds`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..appearance.person import Person
from ..appearance.sampling import sample_person, similar_person
from ..scenes.clip_plan import ClipPlan, Takeover
from .parts import Cast, edit_part, sample_whole_part, start_of

# from this severity on, a person is replaced by any other one of the same sex, not by a look-alike
ANYBODY_SEVERITY = 0.7


def sample_impostor(person: Person, seed: int, severity: float, rng: np.random.Generator) -> Person:
    """Another person: a look-alike below ANYBODY_SEVERITY, anybody of the same sex from there on."""
    number = int(rng.integers(2**31))
    if severity < ANYBODY_SEVERITY:
        return similar_person(person, number, min(0.6 + 0.6 * severity, 1.0))
    other = sample_person(seed, f"{person.name} other {number}")
    while (other.gender >= 0.5) != (person.gender >= 0.5):
        number += 1
        other = sample_person(seed, f"{person.name} other {number}")
    return other


def _replace_person(plan: ClipPlan, index: int, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    other = sample_impostor(plan.parts[index].person, cast.seed, severity, rng)
    return edit_part(plan, index, person=other)


def wrong_person(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    for index in range(len(plan.parts)):
        plan = _replace_person(plan, index, cast, severity, rng)
    return plan


def one_replaced(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    return _replace_person(plan, sample_whole_part(plan, rng), cast, severity, rng)


def exchanged(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    first, second = (int(n) for n in rng.permutation(len(plan.parts))[:2])
    start = start_of(severity)
    a, b = plan.parts[first].person, plan.parts[second].person
    plan = edit_part(plan, first, takeover=Takeover(b, start, start))
    return edit_part(plan, second, takeover=Takeover(a, start, start))


def missing(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index, start = int(rng.integers(len(plan.parts))), start_of(severity)
    # a span before the first frame: never shown
    return edit_part(plan, index, shown=(0.0, start) if start else (-1.0, -1.0))


def duplicated(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    start, count = start_of(severity), len(plan.parts)
    twice = int(rng.integers(count))
    person, clothes = plan.parts[twice].person, plan.parts[twice].clothes
    if count > 1 and rng.uniform() < 0.6:
        other = int(rng.choice([n for n in range(count) if n != twice]))
        if start == 0 and rng.uniform() < 0.5:
            return edit_part(plan, other, person=person, clothes=clothes)
        return edit_part(plan, other, takeover=Takeover(person, start, start))
    size = plan.parts[twice].motion.size * (0.95 if count < 3 else 0.85)
    order = rng.permutation(count + 1)
    centres_x = (np.arange(count + 1) + 0.5) / (count + 1)
    parts = [*plan.parts, replace(plan.parts[twice], shown=(start, 1.0))]
    moved = tuple(
        replace(part, motion=part.motion.moved_to(float(centres_x[position]), min(size, 0.9 / (count + 1))))
        for part, position in zip(parts, order, strict=True)
    )
    mirrored = replace(moved[-1].motion, yaw=replace(moved[-1].motion.yaw, base=-moved[-1].motion.yaw.base))
    return replace(plan, parts=(*moved[:-1], replace(moved[-1], motion=mirrored)))


def drift(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index = sample_whole_part(plan, rng)
    # half of the drifts keep hair and colours
    other = sample_impostor(plan.parts[index].person, cast.seed, 0.66 if rng.uniform() < 0.5 else 1.0, rng)
    return edit_part(plan, index, takeover=Takeover(other, 0.08, 0.92, 0.3 + 0.7 * severity))


def switch(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index, time = sample_whole_part(plan, rng), float(rng.uniform(0.3, 0.65))
    other = sample_impostor(plan.parts[index].person, cast.seed, severity, rng)
    return edit_part(plan, index, takeover=Takeover(other, time, time))
