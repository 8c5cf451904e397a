"""OpenPeople as a source of scenarios: one or two of ten people, in photographs that a camera pans and zooms over.

The failure modes are those of `failures.py` that stills allow, with the same weights: nothing is exchanged between
bodies, no look is changed, and no expression frozen. Ten people can't be fresh in every scenario: each split has people
of its own, and pairs of one cast share a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from reward_model.data.seeding import generator

from ..corruptions.identity import ANYBODY_FROM, face_damage_span, start_of
from ..scenarios.options import PeopleError, share_out
from ..scenarios.scenario import ClipSize, draw_failures
from ..scenarios.sources import Clip, Scene
from ..scenes.clip_plan import Damage
from ..scenes.motion import CameraMotion, draw_wave
from .photo_plan import PhotoPlan, Shot, Strip
from .openpeople import PEOPLE, PICTURES, folder, head_and_shoulders

_Failure = Callable[[PhotoPlan, float, np.random.Generator], PhotoPlan]

FEWEST = 3
# heights of faces as shares of the frame's, for one and for two people
FACES = ((0.42, 0.6), (0.34, 0.46))


class Photos:
    licence = "MIT"

    def __init__(self, seed: int, size: ClipSize, num_clips: int, splits: dict[str, float]):
        folder()
        self.seed, self.size, self.num_clips = seed, size, num_clips
        order = generator("photos", seed).permutation(sorted(PEOPLE)).tolist()
        self.people: dict[str, list[str]] = {split: [] for split in splits}
        for person, split in zip(order, share_out(splits, len(order)), strict=True):
            self.people[split].append(person)
        few = [f"{split} {len(people)}" for split, people in self.people.items() if len(people) < FEWEST]
        if few:
            raise PeopleError(
                f"--photos has {len(PEOPLE)} people, of whom a split needs {FEWEST}; too few for {', '.join(few)}. "
                "Give larger shares, such as --split train=0.7,test=0.3"
            )

    def scene(self, index: int, split: str) -> Scene:
        name = f"photos-{self.seed}-{index:06d}"
        rng = generator("photo scenario", self.seed, index)
        pool = sorted(self.people[split])
        count = 1 if rng.uniform() < 0.35 else 2
        cast = tuple(rng.choice(pool, count, replace=False).tolist())
        failing = _Failing(cast, tuple(person for person in pool if person not in cast))
        originals = min(2 + int(rng.uniform() < 0.4), self.num_clips - 1)
        failures: list[dict[str, float]] = [{} for _ in range(originals)]
        failures += draw_failures(rng, count, self.num_clips - originals, list(failing.modes))
        clips = []
        for n, which in enumerate(rng.permutation(self.num_clips).tolist()):
            clip_rng = generator("photo clip", self.seed, index, n)
            plan = _draw_plan(clip_rng, f"{name}-{n}", cast, self.size)
            plan = failing.fail(plan, failures[which], clip_rng)
            clips.append(Clip(plan.name, plan.modes, plan.people, plan.crf, plan.draw))
        references = tuple((person, partial(head_and_shoulders, person)) for person in cast)
        return Scene(name, "+".join(sorted(cast)), _prompt(cast), references, tuple(clips))

    def close(self) -> None: ...


def _prompt(cast: tuple[str, ...]) -> str:
    told = [f"a {'woman' if PEOPLE[person].woman else 'man'} with {PEOPLE[person].words}" for person in cast]
    if len(told) == 1:
        return f"{told[0].capitalize()} looks into the camera."
    return f"Two people look into the camera: on the left {told[0]}, on the right {told[1]}."


def _draw_plan(rng: np.random.Generator, name: str, cast: tuple[str, ...], size: ClipSize) -> PhotoPlan:
    largest = float(rng.uniform(*FACES[len(cast) - 1]))
    strips = []
    for person in cast:
        first, second = rng.choice(PICTURES, 2, replace=False).tolist()
        shots = [Shot(0.0, person, first)]
        # a cut alone is no failure
        if rng.uniform() < 0.4:
            shots.append(Shot(float(rng.uniform(0.3, 0.65)), person, second))
        strips.append(Strip(tuple(shots), largest * float(rng.uniform(0.92, 1.0)), _draw_camera(rng)))
    light = tuple(tuple((rng.uniform(0.7, 1.08) * rng.uniform(0.93, 1.07, 3)).tolist()) for _ in range(2))
    crf = int(rng.integers(20, 30) if rng.uniform() < 0.8 else rng.integers(30, 35))
    return PhotoPlan(name, tuple(strips), light, crf, size)  # type: ignore[arg-type]


def _draw_camera(rng: np.random.Generator) -> CameraMotion:
    still = draw_wave(rng, 0.0, 0.0)
    zoom = draw_wave(rng, 1.0, float(rng.uniform(0.02, 0.1)), 0.25)
    return CameraMotion(draw_wave(rng, 0.0, 0.03, 0.3), draw_wave(rng, 0.0, 0.02, 0.3), zoom, still)


@dataclass(frozen=True)
class _Failing:
    cast: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def modes(self) -> dict[str, _Failure]:
        alone: dict[str, _Failure] = {
            "wrong-person": self._wrong_person, "drift": self._drift, "switch": self._switch,
            "face-damage": self._face_damage, "resolution": self._resolution,
        }  # fmt: skip
        several: dict[str, _Failure] = {
            "one-replaced": self._one_replaced,
            "missing": self._missing,
            "duplicated": self._duplicated,
        }
        return alone | several if len(self.cast) > 1 else alone

    def fail(self, plan: PhotoPlan, modes: dict[str, float], rng: np.random.Generator) -> PhotoPlan:
        for name, severity in modes.items():
            plan = self.modes[name](plan, severity, rng)
        return replace(plan, modes=dict(modes))

    def _impostor(self, person: str, severity: float, rng: np.random.Generator) -> str:
        alike = [other for other in self.others if PEOPLE[other].woman == PEOPLE[person].woman]
        return str(rng.choice(alike if alike and severity < ANYBODY_FROM else self.others))

    def _wrong_person(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        for index in range(len(plan.strips)):
            plan = self._replaced(plan, index, severity, rng)
        return plan

    def _one_replaced(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        return self._replaced(plan, int(rng.integers(len(plan.strips))), severity, rng)

    def _replaced(self, plan: PhotoPlan, index: int, severity: float, rng: np.random.Generator) -> PhotoPlan:
        other = self._impostor(plan.strips[index].shots[0].person, severity, rng)
        return _with(plan, index, tuple(replace(shot, person=other) for shot in plan.strips[index].shots))

    def _missing(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        index, start = int(rng.integers(len(plan.strips))), start_of(severity)
        strips = list(plan.strips)
        strips[index] = replace(strips[index], shown=(0.0, start) if start else (-1.0, -1.0))
        return replace(plan, strips=tuple(strips))

    def _duplicated(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        start, twice = start_of(severity), int(rng.integers(2))
        person, shown = plan.strips[twice].shots[0].person, plan.strips[twice].shots[0].picture
        picture = str(rng.choice([name for name in PICTURES if name != shown]))
        if rng.uniform() < 0.5:
            return _with(plan, 1 - twice, _cut(plan.strips[1 - twice].shots, Shot(start, person, picture)))
        face = min(strip.face for strip in plan.strips) * 0.85
        extra = Strip((Shot(0.0, person, picture),), face, _draw_camera(rng), (start, 1.0))
        strips = [*(replace(strip, face=face) for strip in plan.strips), extra]
        return replace(plan, strips=tuple(strips))

    def _drift(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        index = int(rng.integers(len(plan.strips)))
        first = plan.strips[index].shots[0]
        other = self._impostor(first.person, 0.5, rng)
        shot = replace(first, blend_to=(other, first.picture, 0.3 + 0.7 * severity))
        return _with(plan, index, (shot,))

    def _switch(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        index, at = int(rng.integers(len(plan.strips))), float(rng.uniform(0.3, 0.65))
        other = self._impostor(plan.strips[index].shots[0].person, severity, rng)
        shot = Shot(at, other, str(rng.choice(PICTURES)))
        return _with(plan, index, (replace(plan.strips[index].shots[0], start=0.0), shot))

    def _face_damage(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        kind, span = face_damage_span(severity, rng)
        count = len(plan.strips)
        parts = range(count) if severity >= 0.6 else (int(rng.integers(count)),)
        return replace(plan, damage=tuple(Damage(n, kind, severity, span) for n in parts))

    def _resolution(self, plan: PhotoPlan, severity: float, rng: np.random.Generator) -> PhotoPlan:
        return replace(plan, resolution=1 / (1 + 5 * severity))


def _with(plan: PhotoPlan, index: int, shots: tuple[Shot, ...]) -> PhotoPlan:
    strips = list(plan.strips)
    strips[index] = replace(strips[index], shots=shots)
    return replace(plan, strips=tuple(strips))


def _cut(shots: tuple[Shot, ...], last: Shot) -> tuple[Shot, ...]:
    """The shots before `last` starts, and it."""
    return (*(shot for shot in shots if shot.start < last.start), last)
