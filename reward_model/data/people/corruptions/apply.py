"""Applies identity corruptions by name to the plan of a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reward_model.data.corruption_kinds import CORRUPTION_KINDS, Severities

from ..scenes.clip_plan import ClipPlan
from . import identity, looks
from .parts import Cast

Corruption = Callable[[ClipPlan, Cast, float, np.random.Generator], ClipPlan]

CORRUPTIONS: dict[str, Corruption] = {
    "wrong-person": identity.wrong_person,
    "one-replaced": identity.one_replaced,
    "exchanged": identity.exchanged,
    "missing": identity.missing,
    "duplicated": identity.duplicated,
    "drift": identity.drift,
    "switch": identity.switch,
    "face-damage": looks.face_damage,
    "look-changed": looks.look_changed,
    "frozen": looks.frozen,
    "resolution": looks.resolution,
}


def corrupt(plan: ClipPlan, cast: Cast, severities: Severities, rng: np.random.Generator) -> ClipPlan:
    """The plan with these corruptions applied in their order.

    ValueError for a severity outside a kind's range, or a cast of fewer people than a kind needs.
    """
    for name, severity in severities.items():
        kind = CORRUPTION_KINDS[name]
        if not kind.min_severity <= severity <= 1:
            raise ValueError(f"severity {severity} of {name}; it lies in {kind.min_severity}..1")
        if len(cast.portraits) < kind.min_people:
            raise ValueError(f"{name} needs {kind.min_people} people, the cast has {len(cast.portraits)}")
        plan = CORRUPTIONS[name](plan, cast, severity, rng)
    return replace(plan, severities=dict(severities))
