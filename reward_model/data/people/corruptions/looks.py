"""Corruptions of how people look: damaged faces, changed hair and clothes, frozen faces, lost resolution.

Severities are those of `data.corruption_kinds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reward_model.data.corruption_kinds import resolution_share

from ..appearance.person import Clothes, Person, Rgb
from ..appearance.sampling import sample_clothes, sample_person
from ..scenes.clip_plan import ClipPlan, FaceDamage, HeldPose, Part
from ..scenes.degradation import DamageKind
from .parts import Cast, edit_part, sample_whole_part

# from this severity on the faces of all people are damaged
ALL_FACES_SEVERITY = 0.6
# above this severity the cut of the hair and the pattern of the clothes change too
NEW_STYLE_SEVERITY = 0.6


def face_damage(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    kind, span = sample_face_damage(severity, rng)
    parts = range(len(plan.parts)) if severity >= ALL_FACES_SEVERITY else (sample_whole_part(plan, rng),)
    return replace(plan, damage=tuple(FaceDamage(n, kind, severity, span) for n in parts))


def sample_face_damage(severity: float, rng: np.random.Generator) -> tuple[DamageKind, tuple[float, float]]:
    """A kind of damage and its span (start, end) as shares of the clip."""
    kind: DamageKind = "blur" if rng.uniform() < 0.5 else "warp"
    share = 0.25 + 0.65 * severity
    start = float(rng.uniform(0, 1 - share))
    return kind, (start, start + share)


def look_changed(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index = sample_whole_part(plan, rng)
    part, number = plan.parts[index], int(rng.integers(2**31))
    both = severity > 0.85
    change_hair = (both or rng.uniform() < 0.4) and part.person.hair.style != "bald"
    if change_hair:
        part = replace(part, person=_with_other_hair(part.person, cast.seed, severity, number))
    if both or not change_hair:
        part = replace(part, clothes=_other_clothes(part.clothes, cast.seed, severity, number))
    return edit_part(plan, index, person=part.person, clothes=part.clothes)


def _colour_distance(a: Rgb, b: Rgb) -> float:
    return float(np.abs(np.subtract(a, b)).sum())


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    red, green, blue = (np.asarray(a) * (1 - share) + np.asarray(b) * share).tolist()
    return (red, green, blue)


def _with_other_hair(person: Person, seed: int, severity: float, number: int) -> Person:
    others = [sample_person(seed, f"{person.name} hair {number} {n}") for n in range(12)]
    same_sex = _of_same_sex_with_hair(others, person)
    farthest = max(same_sex or others, key=lambda other: _colour_distance(other.hair.colour, person.hair.colour))
    colour = _mix(person.hair.colour, farthest.hair.colour, min(0.4 + severity, 1.0))
    hair = replace(person.hair, colour=colour)
    if severity > NEW_STYLE_SEVERITY:
        cuts = [other.hair for other in same_sex if other.hair.style != person.hair.style] or [farthest.hair]
        hair = replace(cuts[0], colour=colour)
    return replace(person, hair=hair)


def _of_same_sex_with_hair(others: Sequence[Person], person: Person) -> list[Person]:
    return [other for other in others if (other.gender >= 0.5) == (person.gender >= 0.5) and other.hair.style != "bald"]


def _other_clothes(clothes: Clothes, seed: int, severity: float, number: int) -> Clothes:
    others = [sample_clothes(seed, f"clothes {number} {n}") for n in range(8)]
    farthest = max(others, key=lambda other: _colour_distance(other.colour, clothes.colour))
    share = min(0.4 + severity, 1.0)
    changed = replace(
        clothes,
        colour=_mix(clothes.colour, farthest.colour, share),
        second=_mix(clothes.second, farthest.second, share),
    )
    if severity > NEW_STYLE_SEVERITY:
        patterns = [other for other in others if other.pattern != clothes.pattern] or [farthest]
        changed = replace(changed, pattern=patterns[0].pattern, neckline=farthest.neckline)
    return changed


def frozen(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    portraits = {portrait.person.name: portrait for portrait in cast.portraits}

    def freeze(n: int, part: Part) -> Part:
        portrait = portraits.get(part.person.name) or cast.portraits[min(n, len(cast.portraits) - 1)]
        return replace(part, held=HeldPose(portrait.pose, portrait.expression, severity))

    return replace(plan, parts=tuple(freeze(n, part) for n, part in enumerate(plan.parts)))


def resolution(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    return replace(plan, resolution=resolution_share(severity))
