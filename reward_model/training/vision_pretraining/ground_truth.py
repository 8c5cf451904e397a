"""Where every head of a rendered data set is and whose it is, told anew from the data set's seed: nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from reward_model.data.people.appearance.person import NUM_SHAPE, Clothes, Person
from reward_model.data.people.appearance.person_code import CODE_SIZE, person_code
from reward_model.data.people.scenarios.options import WORLD
from reward_model.data.people.scenarios.scenario import ClipSize, Scenario, sample_scenario
from reward_model.data.people.scenes.camera import camera_matrix
from reward_model.data.people.scenes.clip_plan import ClipPlan
from reward_model.data.people.scenes.scene import Actor, Camera, Pose

from ..errors import TrainingError

# of a head: its width as a share of its height, face to both sides
WIDTH = 0.76
# yaw, pitch, the clothes' colour, blur, warp, lost detail
HEAD_CODE_SIZE = CODE_SIZE + 8
# parts of a code that have a loss of their own
SHAPE = slice(0, NUM_SHAPE)
LOOK = slice(NUM_SHAPE, HEAD_CODE_SIZE - 3)
HARM = slice(HEAD_CODE_SIZE - 3, HEAD_CODE_SIZE)
YAW = CODE_SIZE


@dataclass(frozen=True)
class Head:
    """box: [4] float32, x0, y0, x1, y1 as shares of the picture's sides.

    code: [HEAD_CODE_SIZE], the person's code, then how the head is turned, clothed and harmed.
    reference: the number of the reference that shows this very person, None where none does.
    """

    box: np.ndarray
    code: np.ndarray
    reference: int | None

    @property
    def mirrored_code(self) -> np.ndarray:
        """Of the head in a mirror, which is turned to the other side."""
        code = self.code.copy()
        code[YAW] *= -1
        return code


class HeadTruth:
    """The plan behind a folder that `identity-reward data people` wrote; TrainingError where it is no such folder."""

    def __init__(self, folder: Path):
        try:
            arguments = json.loads((folder / WORLD).read_text())["arguments"]
        except (OSError, ValueError, KeyError, TypeError):
            raise TrainingError(f"{folder} has no {WORLD} of `identity-reward data people`") from None
        if arguments.get("photos"):
            raise TrainingError(f"{folder} holds photographs; this stage needs rendered people")
        self.folder = folder
        self.seed, self.num_clips = int(arguments["seed"]), int(arguments["clips_per_scenario"])
        self.size = ClipSize(**arguments["size"])
        # drawing takes longer than reading a clip, and each epoch asks again
        self._drawn = lru_cache(4096)(lambda number: sample_scenario(self.seed, number, self.size, self.num_clips))

    def scenario(self, name: str) -> Scenario:
        """By its name, SEED-NUMBER. TrainingError for one of another data set, whose people are others."""
        seed, _, number = name.rpartition("-")
        if seed != str(self.seed) or not number.isdecimal():
            raise TrainingError(
                f"{self.folder} holds scenarios of seed {self.seed}, and pairs of {name!r} are asked for; give pairs "
                "in the folder that they were made in"
            )
        return self._drawn(int(number))

    def portraits(self, scenario: Scenario) -> tuple[Head, ...]:
        """The head in each reference, a square picture."""
        return tuple(
            Head(_box(p.pose, Camera(), 1, 1), _code(p.person, p.clothes, p.pose), number)
            for number, p in enumerate(scenario.portraits)
        )

    def plan(self, scenario: Scenario, clip: str) -> ClipPlan:
        plan = next((plan for plan in scenario.clips if plan.name == clip), None)
        if plan is None:
            raise TrainingError(f"{self.folder}: scenario {scenario.name} has no clip {clip!r}; make the data set anew")
        return plan

    def heads(self, scenario: Scenario, clip: str, frames: Sequence[int]) -> tuple[Head, ...]:
        """Heads that all of these frames of the clip show: boxes and codes are their means."""
        plan = self.plan(scenario, clip)
        width, height = self.size.width, self.size.height
        seen: list[Mapping[int, Actor]] = []
        boxes: list[dict[int, np.ndarray]] = []
        codes: list[dict[int, np.ndarray]] = []
        for frame in frames:
            scene, parts = plan.scene(frame)
            seen.append(dict(zip(parts, scene.actors, strict=True)))
            boxes.append({n: _box(actor.pose, scene.camera, width, height) for n, actor in seen[-1].items()})
            codes.append({n: _code(a.person, a.clothes, a.pose, _harm(plan, n, frame)) for n, a in seen[-1].items()})
        heads = []
        for part in sorted(set.intersection(*(set(actors) for actors in seen))):
            people = [actors[part].person for actors in seen]
            same = [n for n, p in enumerate(scenario.portraits) if all(p.person == person for person in people)]
            code: Any = np.mean([one[part] for one in codes], axis=0)
            box: Any = np.mean([one[part] for one in boxes], axis=0)
            heads.append(Head(box.astype(np.float32), code.astype(np.float32), same[0] if same else None))
        return tuple(heads)


def _box(pose: Pose, camera: Camera, width: int, height: int) -> np.ndarray:
    matrix = camera_matrix(camera, width, height)
    x, y = matrix[:, :2] @ np.array([pose.x * width, pose.y * height]) + matrix[:, 2]
    half = pose.size * height * camera.zoom / 2
    box = [x - WIDTH * half, y - half, x + WIDTH * half, y + half]
    return np.array(box, np.float32) / np.array([width, height, width, height], np.float32)


def _code(person: Person, clothes: Clothes, pose: Pose, harm: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """All of about unit spread; most heads are not harmed, which is 0."""
    turned = pose.yaw / 25, pose.pitch / 12
    colour = (np.array(clothes.colour) - 0.45) * 4
    return np.concatenate([person_code(person), turned, colour, harm]).astype(np.float32)


def _harm(plan: ClipPlan, part: int, frame: int) -> tuple[float, float, float]:
    """How much a head is blurred and warped, and how much detail the whole frame lost."""
    at = plan.position(frame)
    strength = {"blur": 0.0, "warp": 0.0}
    for damage in plan.damage:
        if damage.part == part and damage.span[0] <= at <= damage.span[1]:
            strength[damage.kind] += damage.strength
    return harm_code(strength["blur"], strength["warp"], plan.resolution)


def harm_code(blur: float, warp: float, resolution: float) -> tuple[float, float, float]:
    """From strengths in 0..1 and the share of a frame's side that is kept, 1 for all of it."""
    return 4 * blur, 4 * warp, 0.6 * (1 / resolution - 1)
