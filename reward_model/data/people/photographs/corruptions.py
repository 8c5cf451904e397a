"""Identity corruptions of clips over photographs: the kinds that stills allow.

Nothing is exchanged between bodies, no look is changed, and no expression is frozen. Weights and severities are those
of `data.corruption_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from reward_model.data.corruption_kinds import Severities, resolution_share

from ..corruptions.identity import ANYBODY_SEVERITY
from ..corruptions.looks import ALL_FACES_SEVERITY, sample_face_damage
from ..corruptions.parts import start_of
from ..scenes.clip_plan import FaceDamage
from .openpeople import CLIP_PHOTOGRAPHS, PEOPLE
from .photo_plan import Blend, PhotoPlan, Shot, Strip, sample_photo_camera

PhotoCorruption = Callable[[PhotoPlan, float, np.random.Generator], PhotoPlan]


@dataclass(frozen=True)
class PhotoCorruptions:
    """Corruptions of clips of `cast`, whose impostors are `others`; names of people."""

    cast: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def by_name(self) -> dict[str, PhotoCorruption]:
        """Corruptions that the cast allows, by name."""
        any_cast: dict[str, PhotoCorruption] = {
            "wrong-person": self._wrong_person,
            "drift": self._drift,
            "switch": self._switch,
            "face-damage": self._face_damage,
            "resolution": self._resolution,
        }
        several: dict[str, PhotoCorruption] = {
            "one-replaced": self._one_replaced,
            "missing": self._missing,
            "duplicated": self._duplicated,
        }
        return any_cast | several if len(self.cast) > 1 else any_cast

    def corrupt(self, plan: PhotoPlan, severities: Severities, rng: np.random.Generator) -> PhotoPlan:
        """The plan with these corruptions applied in their order."""
        for name, severity in severities.items():
            plan = self.by_name[name](plan, severity, rng)
        return replace(plan, severities=dict(severities))

    def _sample_impostor(self, person: str, severity: float, rng: np.random.Generator) -> str:
        alike = [other for other in self.others if PEOPLE[other].woman == PEOPLE[person].woman]
        return str(rng.choice(alike if alike and severity < ANYBODY_SEVERITY else self.others))

    def _wrong_person(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        for index in range(len(plan.strips)):
            plan = self._replaced(plan, index, severity, rng)
        return plan

    def _one_replaced(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        return self._replaced(plan, int(rng.integers(len(plan.strips))), severity, rng)

    def _replaced(self, plan: PhotoPlan, index: int, severity: float, rng: np.random.Generator) -> PhotoPlan:
        other = self._sample_impostor(plan.strips[index].shots[0].person, severity, rng)
        return _with_shots(plan, index, tuple(replace(shot, person=other) for shot in plan.strips[index].shots))

    def _missing(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        index, start = int(rng.integers(len(plan.strips))), start_of(severity)
        strips = list(plan.strips)
        strips[index] = replace(strips[index], shown=(0.0, start) if start else (-1.0, -1.0))
        return replace(plan, strips=tuple(strips))

    def _duplicated(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        start, twice = start_of(severity), int(rng.integers(2))
        person, shown = plan.strips[twice].shots[0].person, plan.strips[twice].shots[0].photograph
        photograph = str(rng.choice([name for name in CLIP_PHOTOGRAPHS if name != shown]))
        if rng.uniform() < 0.5:
            return _with_shots(plan, 1 - twice, _cut_to(plan.strips[1 - twice].shots, Shot(start, person, photograph)))
        face_size = min(strip.face_size for strip in plan.strips) * 0.85
        extra = Strip((Shot(0.0, person, photograph),), face_size, sample_photo_camera(rng), (start, 1.0))
        strips = [*(replace(strip, face_size=face_size) for strip in plan.strips), extra]
        return replace(plan, strips=tuple(strips))

    def _drift(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        index = int(rng.integers(len(plan.strips)))
        first = plan.strips[index].shots[0]
        other = self._sample_impostor(first.person, 0.5, rng)
        shot = replace(first, blend_to=Blend(other, first.photograph, 0.3 + 0.7 * severity))
        return _with_shots(plan, index, (shot,))

    def _switch(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        index, time = int(rng.integers(len(plan.strips))), float(rng.uniform(0.3, 0.65))
        other = self._sample_impostor(plan.strips[index].shots[0].person, severity, rng)
        shot = Shot(time, other, str(rng.choice(CLIP_PHOTOGRAPHS)))
        return _with_shots(plan, index, (replace(plan.strips[index].shots[0], start=0.0), shot))

    def _face_damage(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        kind, span = sample_face_damage(severity, rng)
        count = len(plan.strips)
        parts = range(count) if severity >= ALL_FACES_SEVERITY else (int(rng.integers(count)),)
        return replace(plan, damage=tuple(FaceDamage(n, kind, severity, span) for n in parts))

    def _resolution(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        return replace(plan, resolution=resolution_share(severity))


def _with_shots(plan: PhotoPlan, index: int, shots: tuple[Shot, ...]) -> PhotoPlan:
    strips = list(plan.strips)
    strips[index] = replace(strips[index], shots=shots)
    return replace(plan, strips=tuple(strips))


def _cut_to(shots: tuple[Shot, ...], last: Shot) -> tuple[Shot, ...]:
    """The shots before `last` starts, and it."""
    return (*(shot for shot in shots if shot.start < last.start), last)
