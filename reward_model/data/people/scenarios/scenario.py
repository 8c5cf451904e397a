"""Scenarios of rendered people: a new cast, a prompt, reference portraits, and clips, some good and some corrupted.

No person is in two scenarios, so that a split by scenario is a split by identity. Every clip has its own motion, light,
background, camera and compression: those are nuisances, and two clips that differ only by them are equally good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward_model.data.corruption_kinds import CORRUPTION_KINDS, CorruptionKind, Severities
from reward_model.data.seeding import generator

from ..appearance.describe import describe
from ..appearance.sampling import sample_clothes, sample_person
from ..corruptions.apply import corrupt
from ..corruptions.parts import Cast
from ..scenes.clip_plan import ClipPlan, Part
from ..scenes.motion import sample_camera_motion, sample_person_motion
from ..scenes.portrait import Portrait, sample_portrait
from ..scenes.sampling import sample_background, sample_light

# of casts of one, two and three people
CAST_SHARES = (0.25, 0.60, 0.15)
# ranges of faces' heights as shares of the frame's, by the number of people
FACE_SIZES = ((0.40, 0.54), (0.31, 0.44), (0.26, 0.33))
ACTIVITIES = (
    "talk to each other", "look into the camera", "listen to somebody", "wait together", "watch what goes on",
)  # fmt: skip
ACTIVITIES_ALONE = ("talks", "looks into the camera", "listens to somebody", "waits", "watches what goes on")
POSITIONS = (("",), ("on the left", "on the right"), ("on the left", "in the middle", "on the right"))
COUNTS = ("One person", "Two people", "Three people")
# of corrupted clips that get a second corruption, and of scenarios whose last corrupted clip repeats the first one's
SECOND_CORRUPTION_SHARE = 0.15
REPEATED_CORRUPTION_SHARE = 0.35


@dataclass(frozen=True)
class ClipSize:
    num_frames: int = 33
    fps: float = 16.0
    width: int = 416
    height: int = 240


@dataclass(frozen=True)
class Scenario:
    """`name` is also the cluster of its pairs, which share a cast and so are not independent of each other."""

    name: str
    prompt: str
    portraits: tuple[Portrait, ...]
    clips: tuple[ClipPlan, ...]


def sample_scenario(seed: int, index: int, size: ClipSize, num_clips: int = 6) -> Scenario:
    """A function of its arguments alone. Two or three clips are originals, the others carry one or two corruptions."""
    name = f"{seed}-{index:06d}"
    rng = generator("scenario", seed, index)
    count = 1 + int(rng.choice(3, p=CAST_SHARES))
    portraits = _sample_portraits(seed, name, count)
    cast = Cast(seed, portraits)
    num_originals = min(2 + int(rng.uniform() < 0.4), num_clips - 1)
    severities: list[Severities] = [{} for _ in range(num_originals)]
    severities += sample_severities(rng, count, num_clips - num_originals)
    clips: list[ClipPlan] = []
    for n in rng.permutation(num_clips).tolist():
        clip_name = f"{name}-{len(clips)}"
        plan = sample_original(seed, clip_name, cast, size)
        clips.append(corrupt(plan, cast, severities[n], generator("failure", seed, clip_name)))
    return Scenario(name, _sample_prompt(rng, portraits), portraits, tuple(clips))


def _sample_portraits(seed: int, name: str, count: int) -> tuple[Portrait, ...]:
    people = [sample_person(seed, f"{name}{letter}") for letter in "abc"[:count]]
    return tuple(sample_portrait(seed, person, sample_clothes(seed, person.name)) for person in people)


def sample_original(seed: int, name: str, cast: Cast, size: ClipSize) -> ClipPlan:
    """A clip of the right people: motion, light, background and camera are functions of the seed and the name."""
    rng = generator("clip", seed, name)
    count = len(cast.portraits)
    # narrower frames than 416 x 240 have less space for large faces
    largest = float(rng.uniform(*FACE_SIZES[count - 1])) * min(size.width / size.height / (416 / 240), 1.0)
    duration_s = size.num_frames / size.fps
    parts = []
    for n, portrait in enumerate(cast.portraits):
        x = (n + 0.5) / count + float(rng.uniform(-0.03, 0.03))
        face_size = largest * float(rng.uniform(0.9, 1.0))
        motion = sample_person_motion(rng, x, face_size, duration_s, portrait.pose.yaw)
        parts.append(Part(portrait.person, portrait.clothes, motion))
    crf = int(rng.integers(20, 30) if rng.uniform() < 0.8 else rng.integers(30, 35))
    return ClipPlan(
        name,
        tuple(parts),
        sample_background(seed, name),
        sample_light(seed, name),
        sample_camera_motion(rng),
        crf,
        num_frames=size.num_frames,
        fps=size.fps,
        width=size.width,
        height=size.height,
    )


def sample_severities(
    rng: np.random.Generator, num_people: int, num_clips: int, kinds: Sequence[str] = tuple(CORRUPTION_KINDS)
) -> list[Severities]:
    """Corruptions of `num_clips` clips, of different kinds where there are enough, each at a random severity.

    Some clips get a second corruption; the last clip may repeat the first one's.
    """
    possible = [name for name in kinds if num_people >= CORRUPTION_KINDS[name].min_people]
    # kinds that need several people are as frequent over all scenarios as the others
    odds = np.array([1 / sum(CAST_SHARES[CORRUPTION_KINDS[name].min_people - 1 :]) for name in possible])
    replace = num_clips > len(possible)
    names = rng.choice(possible, num_clips, replace=replace, p=odds / odds.sum()).tolist()
    severities = [{name: _sample_severity(rng, CORRUPTION_KINDS[name])} for name in names]
    for n, name in enumerate(names):
        others = [other for other in possible if not CORRUPTION_KINDS[other].structural and other != name]
        if rng.uniform() < SECOND_CORRUPTION_SHARE:
            other = str(rng.choice(others))
            severities[n][other] = _sample_severity(rng, CORRUPTION_KINDS[other])
    if num_clips > 1 and rng.uniform() < REPEATED_CORRUPTION_SHARE:
        severities[-1] = dict(severities[0])
    return severities


def _sample_severity(rng: np.random.Generator, kind: CorruptionKind) -> float:
    return round(float(rng.uniform(kind.min_severity, 1.0)), 3)


def _sample_prompt(rng: np.random.Generator, portraits: tuple[Portrait, ...]) -> str:
    people = [describe(portrait.person, portrait.clothes) for portrait in portraits]
    if len(people) == 1:
        return f"{people[0].capitalize()} {ACTIVITIES_ALONE[int(rng.integers(len(ACTIVITIES_ALONE)))]}."
    positions = POSITIONS[len(people) - 1]
    described = ", ".join(f"{position} {person}" for position, person in zip(positions, people, strict=True))
    return f"{COUNTS[len(people) - 1]} {ACTIVITIES[int(rng.integers(len(ACTIVITIES)))]}: {described}."
