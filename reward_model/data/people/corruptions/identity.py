"""The ways in which a clip fails the people of its references: each turns the plan of a good clip into a bad one's.

Severity s is in (0, 1]; below a mode's `least` it isn't used, since nobody would see it. A clip's quality is minus the
sum of weight x severity over its modes: 0 for an original, whatever its light, camera and compression.

mode           weight  least  what severity means
wrong-person     1.0    0.3   everybody is somebody else: below 0.7 look-alikes with their hair and colours, with a face
                              the further from theirs the higher s is; from 0.7 on anybody
one-replaced     0.9    0.3   the same for one of two or three people
exchanged        0.9    0.4   two heads stand on each other's bodies for the last s of the clip; from 0.8 on all of it
missing          0.9    0.4   one person is absent for the last s of the clip; from 0.8 on for all of it
duplicated       0.8    0.4   one person twice, in another's place or as one too many, for the last s; from 0.8 on all
drift            0.8    0.4   from start to end the person becomes another, 0.3 + 0.7 s of the way
switch           0.9    0.3   in mid-clip the person is another from one frame to the next; s as for wrong-person
face-damage      0.7    0.4   faces blurred or warped, the stronger and in the more frames; from 0.6 on everybody's
look-changed     0.6    0.4   hair or clothes in other colours, the further the higher s; above 0.6 another cut or
                              pattern too; above 0.85 both hair and clothes
frozen           0.5    0.5   pose and expression are the reference's all the time, s of the way to wholly still
resolution       0.5    0.5   detail is lost: 1 / (1 + 5 s) of the pixels a side remains
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..appearance.person import Clothes, Person
from ..scenes.clip_plan import Change, ClipPlan, Damage, DamageKind, Part, Still
from ..scenes.references import Portrait
from ..appearance.sampling import draw_clothes, draw_person, similar

NUISANCE = "nuisance"
WHOLE_FROM = 0.8
ANYBODY_FROM = 0.7

Failure = Callable[[ClipPlan, "Cast", float, np.random.Generator], ClipPlan]


@dataclass(frozen=True)
class Cast:
    """Who should be in a clip, from left to right; their portraits are the references. `seed` names their impostors."""

    seed: int
    portraits: tuple[Portrait, ...]


@dataclass(frozen=True)
class Mode:
    """`needs`: at least so many people; `structural`: who is there, rather than how they look."""

    apply: Failure
    weight: float
    least: float
    needs: int = 1
    structural: bool = True


def fail(plan: ClipPlan, cast: Cast, modes: dict[str, float], rng: np.random.Generator) -> ClipPlan:
    """The plan with these failures in their order. ValueError for a severity or a cast that a mode doesn't take."""
    for name, severity in modes.items():
        mode = MODES[name]
        if not mode.least <= severity <= 1:
            raise ValueError(f"severity {severity} of {name}; it lies in {mode.least}..1")
        if len(cast.portraits) < mode.needs:
            raise ValueError(f"{name} needs {mode.needs} people, the cast has {len(cast.portraits)}")
        plan = mode.apply(plan, cast, severity, rng)
    return replace(plan, modes=dict(modes))


def quality(modes: dict[str, float]) -> float:
    """0 for an original, lower the worse."""
    return -sum(MODES[name].weight * severity for name, severity in modes.items()) or 0.0


def impostor(person: Person, seed: int, severity: float, rng: np.random.Generator) -> Person:
    """Somebody else: a look-alike below ANYBODY_FROM, anybody of the same sex from there on."""
    number = int(rng.integers(2**31))
    if severity < ANYBODY_FROM:
        return similar(person, number, min(0.6 + 0.6 * severity, 1.0))
    other = draw_person(seed, f"{person.name} other {number}")
    while (other.gender >= 0.5) != (person.gender >= 0.5):
        number += 1
        other = draw_person(seed, f"{person.name} other {number}")
    return other


def _put(plan: ClipPlan, index: int, **changes) -> ClipPlan:
    parts = list(plan.parts)
    parts[index] = replace(parts[index], **changes)
    return replace(plan, parts=tuple(parts))


def _some(plan: ClipPlan, rng: np.random.Generator) -> int:
    """A part that is there from start to end."""
    whole = [n for n, part in enumerate(plan.parts) if part.shown == (0.0, 1.0)]
    return int(rng.choice(whole or list(range(len(plan.parts)))))


def start_of(severity: float) -> float:
    """Where in the clip a failure of this severity begins, if it lasts to the end."""
    return 0.0 if severity >= WHOLE_FROM else 1 - severity


def _become(plan: ClipPlan, index: int, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    other = impostor(plan.parts[index].person, cast.seed, severity, rng)
    return _put(plan, index, person=other)


def _wrong_person(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    for index in range(len(plan.parts)):
        plan = _become(plan, index, cast, severity, rng)
    return plan


def _one_replaced(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    return _become(plan, _some(plan, rng), cast, severity, rng)


def _exchanged(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    first, second = (int(n) for n in rng.permutation(len(plan.parts))[:2])
    start = start_of(severity)
    a, b = plan.parts[first].person, plan.parts[second].person
    plan = _put(plan, first, change=Change(b, start, start))
    return _put(plan, second, change=Change(a, start, start))


def _missing(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index, start = int(rng.integers(len(plan.parts))), start_of(severity)
    # a span before the first frame: never shown
    return _put(plan, index, shown=(0.0, start) if start else (-1.0, -1.0))


def _duplicated(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    start, count = start_of(severity), len(plan.parts)
    twice = int(rng.integers(count))
    person, clothes = plan.parts[twice].person, plan.parts[twice].clothes
    if count > 1 and rng.uniform() < 0.6:
        other = int(rng.choice([n for n in range(count) if n != twice]))
        if start == 0 and rng.uniform() < 0.5:
            return _put(plan, other, person=person, clothes=clothes)
        return _put(plan, other, change=Change(person, start, start))
    size = plan.parts[twice].motion.size * (0.95 if count < 3 else 0.85)
    order = rng.permutation(count + 1)
    places = (np.arange(count + 1) + 0.5) / (count + 1)
    parts = [*plan.parts, replace(plan.parts[twice], shown=(start, 1.0))]
    moved = tuple(
        replace(part, motion=part.motion.at_place(float(places[place]), min(size, 0.9 / (count + 1))))
        for part, place in zip(parts, order, strict=True)
    )
    mirrored = replace(moved[-1].motion, yaw=replace(moved[-1].motion.yaw, base=-moved[-1].motion.yaw.base))
    return replace(plan, parts=(*moved[:-1], replace(moved[-1], motion=mirrored)))


def _drift(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index = _some(plan, rng)
    # half of the drifts keep hair and colours
    other = impostor(plan.parts[index].person, cast.seed, 0.66 if rng.uniform() < 0.5 else 1.0, rng)
    return _put(plan, index, change=Change(other, 0.08, 0.92, 0.3 + 0.7 * severity))


def _switch(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index, at = _some(plan, rng), float(rng.uniform(0.3, 0.65))
    other = impostor(plan.parts[index].person, cast.seed, severity, rng)
    return _put(plan, index, change=Change(other, at, at))


def _face_damage(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    kind, span = face_damage_span(severity, rng)
    parts = range(len(plan.parts)) if severity >= 0.6 else (_some(plan, rng),)
    return replace(plan, damage=tuple(Damage(n, kind, severity, span) for n in parts))


def face_damage_span(severity: float, rng: np.random.Generator) -> tuple[DamageKind, tuple[float, float]]:
    """Which damage, and from where to where in the clip."""
    kind: DamageKind = "blur" if rng.uniform() < 0.5 else "warp"
    share = 0.25 + 0.65 * severity
    start = float(rng.uniform(0, 1 - share))
    return kind, (start, start + share)


def _look_changed(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    index = _some(plan, rng)
    part, number = plan.parts[index], int(rng.integers(2**31))
    both = severity > 0.85
    hair_too = (both or rng.uniform() < 0.4) and part.person.hair.style != "bald"
    if hair_too:
        part = replace(part, person=_other_hair(part.person, cast.seed, severity, number))
    if both or not hair_too:
        part = replace(part, clothes=_other_clothes(part.clothes, cast.seed, severity, number))
    return _put(plan, index, person=part.person, clothes=part.clothes)


def _distance(a, b) -> float:
    return float(np.abs(np.subtract(a, b)).sum())


def _toward(a, b, share: float):
    return tuple((np.asarray(a) * (1 - share) + np.asarray(b) * share).tolist())


def _other_hair(person: Person, seed: int, severity: float, number: int) -> Person:
    others = [draw_person(seed, f"{person.name} hair {number} {n}") for n in range(12)]
    own = [other for other in others if (other.gender >= 0.5) == (person.gender >= 0.5) and other.hair.style != "bald"]
    far = max(own or others, key=lambda other: _distance(other.hair.colour, person.hair.colour))
    hair = replace(person.hair, colour=_toward(person.hair.colour, far.hair.colour, min(0.4 + severity, 1.0)))
    if severity > 0.6:
        cuts = [other.hair for other in own if other.hair.style != person.hair.style] or [far.hair]
        hair = replace(cuts[0], colour=hair.colour)
    return replace(person, hair=hair)


def _other_clothes(clothes: Clothes, seed: int, severity: float, number: int) -> Clothes:
    others = [draw_clothes(seed, f"clothes {number} {n}") for n in range(8)]
    far = max(others, key=lambda other: _distance(other.colour, clothes.colour))
    share = min(0.4 + severity, 1.0)
    changed = replace(
        clothes, colour=_toward(clothes.colour, far.colour, share), second=_toward(clothes.second, far.second, share)
    )
    if severity > 0.6:
        patterns = [other for other in others if other.pattern != clothes.pattern] or [far]
        changed = replace(changed, pattern=patterns[0].pattern, neckline=far.neckline)
    return changed


def _frozen(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    portraits = {portrait.person.name: portrait for portrait in cast.portraits}

    def still(n: int, part: Part) -> Part:
        portrait = portraits.get(part.person.name) or cast.portraits[min(n, len(cast.portraits) - 1)]
        return replace(part, still=Still(portrait.pose, portrait.expression, severity))

    return replace(plan, parts=tuple(still(n, part) for n, part in enumerate(plan.parts)))


def _resolution(plan: ClipPlan, cast: Cast, severity: float, rng: np.random.Generator) -> ClipPlan:
    return replace(plan, resolution=1 / (1 + 5 * severity))


MODES: dict[str, Mode] = {
    "wrong-person": Mode(_wrong_person, 1.0, 0.3),
    "one-replaced": Mode(_one_replaced, 0.9, 0.3, needs=2),
    "exchanged": Mode(_exchanged, 0.9, 0.4, needs=2),
    "missing": Mode(_missing, 0.9, 0.4),
    "duplicated": Mode(_duplicated, 0.8, 0.4),
    "drift": Mode(_drift, 0.8, 0.4),
    "switch": Mode(_switch, 0.9, 0.3),
    "face-damage": Mode(_face_damage, 0.7, 0.4, structural=False),
    "look-changed": Mode(_look_changed, 0.6, 0.4, structural=False),
    "frozen": Mode(_frozen, 0.5, 0.5, structural=False),
    "resolution": Mode(_resolution, 0.5, 0.5, structural=False),
}
