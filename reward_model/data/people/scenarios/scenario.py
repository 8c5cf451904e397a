"""Scenarios: a fresh cast, a prompt, reference portraits, and a handful of clips, some good, the others failing.

Nobody is in two scenarios, so that a split by scenario is one by identity. Every clip has its own motion, light,
background, camera and compression: those are nuisances, and two clips that differ by them alone are equally good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward_model.data.seeding import generator

from ..appearance.describe import describe
from ..corruptions.identity import MODES, Cast, Mode, fail
from ..scenes.clip_plan import ClipPlan, Part
from ..scenes.motion import draw_camera, draw_head
from ..scenes.references import Portrait, draw_portrait
from ..appearance.sampling import draw_background, draw_clothes, draw_light, draw_person

# of one, two and three people
CAST_SHARES = (0.25, 0.60, 0.15)
# heads' heights as shares of the frame's, by the number of people
SIZES = ((0.40, 0.54), (0.31, 0.44), (0.26, 0.33))
DOING = (
    "talk to each other", "look into the camera", "listen to somebody", "wait together", "watch what goes on",
)  # fmt: skip
DOING_ALONE = ("talks", "looks into the camera", "listens to somebody", "waits", "watches what goes on")
PLACES = (("",), ("on the left", "on the right"), ("on the left", "in the middle", "on the right"))
NUMBERS = ("One person", "Two people", "Three people")


@dataclass(frozen=True)
class ClipSize:
    num_frames: int = 33
    fps: float = 16.0
    width: int = 416
    height: int = 240


@dataclass(frozen=True)
class Scenario:
    """`name` is that of its cast too: pairs of a scenario are not independent of each other."""

    name: str
    prompt: str
    portraits: tuple[Portrait, ...]
    clips: tuple[ClipPlan, ...]


def draw_scenario(seed: int, index: int, size: ClipSize, num_clips: int = 6) -> Scenario:
    """A function of its arguments alone. Two or three clips are originals, the others fail in one way, some in two."""
    name = f"{seed}-{index:06d}"
    rng = generator("scenario", seed, index)
    count = 1 + int(rng.choice(3, p=CAST_SHARES))
    portraits = _draw_cast(seed, name, count)
    cast = Cast(seed, portraits)
    originals = min(2 + int(rng.uniform() < 0.4), num_clips - 1)
    failures: list[dict[str, float]] = [{} for _ in range(originals)]
    failures += draw_failures(rng, count, num_clips - originals)
    clips: list[ClipPlan] = []
    for n in rng.permutation(num_clips).tolist():
        clip_name = f"{name}-{len(clips)}"
        plan = _draw_original(seed, clip_name, cast, size)
        clips.append(fail(plan, cast, failures[n], generator("failure", seed, clip_name)))
    return Scenario(name, _prompt(rng, portraits), portraits, tuple(clips))


def _draw_cast(seed: int, name: str, count: int) -> tuple[Portrait, ...]:
    people = [draw_person(seed, f"{name}{letter}") for letter in "abc"[:count]]
    return tuple(draw_portrait(seed, person, draw_clothes(seed, person.name)) for person in people)


def _draw_original(seed: int, name: str, cast: Cast, size: ClipSize) -> ClipPlan:
    rng = generator("clip", seed, name)
    count = len(cast.portraits)
    # wide frames leave room for larger heads
    largest = float(rng.uniform(*SIZES[count - 1])) * min(size.width / size.height / (416 / 240), 1.0)
    duration_s = size.num_frames / size.fps
    parts = []
    for n, portrait in enumerate(cast.portraits):
        x = (n + 0.5) / count + float(rng.uniform(-0.03, 0.03))
        head = draw_head(rng, x, largest * float(rng.uniform(0.9, 1.0)), duration_s, portrait.pose.yaw)
        parts.append(Part(portrait.person, portrait.clothes, head))
    crf = int(rng.integers(20, 30) if rng.uniform() < 0.8 else rng.integers(30, 35))
    return ClipPlan(
        name, tuple(parts), draw_background(seed, name), draw_light(seed, name), draw_camera(rng), crf,
        num_frames=size.num_frames, fps=size.fps, width=size.width, height=size.height,
    )  # fmt: skip


def draw_failures(
    rng: np.random.Generator, count: int, wanted: int, modes: Sequence[str] = tuple(MODES)
) -> list[dict[str, float]]:
    """Different modes, each at a severity of its own; some clips have two, some fail just as another does."""
    possible = [name for name in modes if count >= MODES[name].needs]
    # modes that need several people are as frequent over all scenarios as the others
    odds = np.array([1 / sum(CAST_SHARES[MODES[name].needs - 1 :]) for name in possible])
    names = rng.choice(possible, wanted, replace=wanted > len(possible), p=odds / odds.sum()).tolist()
    failures = [{name: _severity(rng, MODES[name])} for name in names]
    for n, name in enumerate(names):
        others = [other for other in possible if not MODES[other].structural and other != name]
        if rng.uniform() < 0.15:
            other = str(rng.choice(others))
            failures[n][other] = _severity(rng, MODES[other])
    if wanted > 1 and rng.uniform() < 0.35:
        failures[-1] = dict(failures[0])
    return failures


def _severity(rng: np.random.Generator, mode: Mode) -> float:
    return round(float(rng.uniform(mode.least, 1.0)), 3)


def _prompt(rng: np.random.Generator, portraits: tuple[Portrait, ...]) -> str:
    people = [describe(portrait.person, portrait.clothes) for portrait in portraits]
    if len(people) == 1:
        return f"{people[0].capitalize()} {DOING_ALONE[int(rng.integers(len(DOING_ALONE)))]}."
    places = PLACES[len(people) - 1]
    told = ", ".join(f"{place} {person}" for place, person in zip(places, people, strict=True))
    return f"{NUMBERS[len(people) - 1]} {DOING[int(rng.integers(len(DOING)))]}: {told}."
