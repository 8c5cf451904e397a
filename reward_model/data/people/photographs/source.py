"""OpenPeople as a source of scenarios: one or two of ten people, in photographs that a camera pans and zooms over.

Ten people cannot be new in every scenario: each split has people of its own, and pairs of one cast share a cluster.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from reward_model.data.corruption_kinds import Severities
from reward_model.data.seeding import generator

from ..scenarios.options import PeopleError, assign_by_shares
from ..scenarios.scenario import ClipSize, sample_severities
from ..scenarios.sources import RenderableClip, RenderableReference, RenderableScenario
from .corruptions import PhotoCorruptions
from .openpeople import CLIP_PHOTOGRAPHS, PEOPLE, head_and_shoulders, photographs_folder
from .photo_plan import Gains, PhotoPlan, Shot, Strip, sample_photo_camera

MIN_PEOPLE_PER_SPLIT = 3
# ranges of faces' heights as shares of the frame's, for one and for two people
FACE_SIZES = ((0.42, 0.6), (0.34, 0.46))


class PhotographedPeople:
    """ScenarioSource of clips that are composed of photographs."""

    licence = "MIT"

    def __init__(self, seed: int, size: ClipSize, num_clips: int, splits: dict[str, float]):
        """PhotographsMissing without the package `openpeople`; PeopleError for splits with too few people."""
        photographs_folder()
        self.seed, self.size, self.num_clips = seed, size, num_clips
        order = generator("photos", seed).permutation(sorted(PEOPLE)).tolist()
        self.people: dict[str, list[str]] = {split: [] for split in splits}
        for person, split in zip(order, assign_by_shares(splits, len(order)), strict=True):
            self.people[split].append(person)
        few = [f"{split} {len(people)}" for split, people in self.people.items() if len(people) < MIN_PEOPLE_PER_SPLIT]
        if few:
            raise PeopleError(
                f"--photos has {len(PEOPLE)} people, of whom a split needs {MIN_PEOPLE_PER_SPLIT}; too few for "
                f"{', '.join(few)}. Give larger shares, such as --split train=0.7,test=0.3"
            )

    def scenario(self, index: int, split: str) -> RenderableScenario:
        name = f"photos-{self.seed}-{index:06d}"
        rng = generator("photo scenario", self.seed, index)
        pool = sorted(self.people[split])
        count = 1 if rng.uniform() < 0.35 else 2
        cast = tuple(rng.choice(pool, count, replace=False).tolist())
        corruptions = PhotoCorruptions(cast, tuple(person for person in pool if person not in cast))
        num_originals = min(2 + int(rng.uniform() < 0.4), self.num_clips - 1)
        severities: list[Severities] = [{} for _ in range(num_originals)]
        severities += sample_severities(rng, count, self.num_clips - num_originals, list(corruptions.by_name))
        clips = []
        for n, row in enumerate(rng.permutation(self.num_clips).tolist()):
            clip_rng = generator("photo clip", self.seed, index, n)
            plan = _sample_plan(clip_rng, f"{name}-{n}", cast, self.size)
            plan = corruptions.corrupt(plan, severities[row], clip_rng)
            clips.append(RenderableClip(plan.name, plan.severities, plan.people, plan.crf, plan.render))
        references = tuple(RenderableReference(person, partial(head_and_shoulders, person)) for person in cast)
        return RenderableScenario(name, "+".join(sorted(cast)), _prompt(cast), references, tuple(clips))

    def close(self) -> None:
        """There is nothing to release."""


def _prompt(cast: tuple[str, ...]) -> str:
    people = [f"a {'woman' if PEOPLE[person].woman else 'man'} with {PEOPLE[person].description}" for person in cast]
    if len(people) == 1:
        return f"{people[0].capitalize()} looks into the camera."
    return f"Two people look into the camera: on the left {people[0]}, on the right {people[1]}."


def _sample_plan(rng: np.random.Generator, name: str, cast: tuple[str, ...], size: ClipSize) -> PhotoPlan:
    largest = float(rng.uniform(*FACE_SIZES[len(cast) - 1]))
    strips = []
    for person in cast:
        first, second = rng.choice(CLIP_PHOTOGRAPHS, 2, replace=False).tolist()
        shots = [Shot(0.0, person, first)]
        # a cut alone is no corruption
        if rng.uniform() < 0.4:
            shots.append(Shot(float(rng.uniform(0.3, 0.65)), person, second))
        strips.append(Strip(tuple(shots), largest * float(rng.uniform(0.92, 1.0)), sample_photo_camera(rng)))
    light = _sample_gains(rng), _sample_gains(rng)
    crf = int(rng.integers(20, 30) if rng.uniform() < 0.8 else rng.integers(30, 35))
    return PhotoPlan(name, tuple(strips), light, crf, size)


def _sample_gains(rng: np.random.Generator) -> Gains:
    red, green, blue = (rng.uniform(0.7, 1.08) * rng.uniform(0.93, 1.07, 3)).tolist()
    return (red, green, blue)
