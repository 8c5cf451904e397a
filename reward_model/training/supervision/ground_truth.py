"""Ground truth of the faces of a rendered data set: boxes, identities and corruptions, recomputed from its seed.

The data set stores only the arguments it was made with; scenarios are sampled again from them.
"""

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

# width of a head as a share of its height
WIDTH = 0.76
# the person's code, then yaw, pitch, three channels of the clothes' colour, blur, warp, lost detail
FACE_CODE_SIZE = CODE_SIZE + 8
# parts of a code that have a loss of their own
SHAPE = slice(0, NUM_SHAPE)
LOOK = slice(NUM_SHAPE, FACE_CODE_SIZE - 3)
CORRUPTION = slice(FACE_CODE_SIZE - 3, FACE_CODE_SIZE)
YAW = CODE_SIZE


@dataclass(frozen=True)
class RenderedFace:
    """A face of a rendered image.

    box: [4] float32, x0, y0, x1, y1 of the head in [0, 1] of the image's sides.
    code: [FACE_CODE_SIZE] float32, the person's code, pose, clothes and corruptions, each of about unit variance.
    reference: index of the reference that shows this very person, None where none does.
    """

    box: np.ndarray
    code: np.ndarray
    reference: int | None

    @property
    def mirrored_code(self) -> np.ndarray:
        """Code of the face in the mirrored image: the yaw changes its sign."""
        code = self.code.copy()
        code[YAW] *= -1
        return code


class GroundTruth:
    """Scenarios behind a folder that `identity-reward data people` wrote; TrainingError for any other folder."""

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
        # sampling a scenario takes longer than reading a clip, and each epoch needs all of them again
        self._sampled = lru_cache(4096)(lambda number: sample_scenario(self.seed, number, self.size, self.num_clips))

    def scenario(self, name: str) -> Scenario:
        """The scenario SEED-NUMBER. Raises TrainingError for a seed of another data set, whose people differ."""
        seed, _, number = name.rpartition("-")
        if seed != str(self.seed) or not number.isdecimal():
            raise TrainingError(
                f"{self.folder} holds scenarios of seed {self.seed}, and pairs of {name!r} are requested; give pairs "
                "in the folder that they were made in"
            )
        return self._sampled(int(number))

    def portraits(self, scenario: Scenario) -> tuple[RenderedFace, ...]:
        """The face of each reference image, which is square."""
        return tuple(
            RenderedFace(_box(p.pose, Camera(), 1, 1), _code(p.person, p.clothes, p.pose), number)
            for number, p in enumerate(scenario.portraits)
        )

    def plan(self, scenario: Scenario, clip: str) -> ClipPlan:
        """The plan of a clip by its name; TrainingError where the scenario has no such clip."""
        plan = next((plan for plan in scenario.clips if plan.name == clip), None)
        if plan is None:
            raise TrainingError(
                f"{self.folder}: scenario {scenario.name} has no clip {clip!r}; generate the data set again"
            )
        return plan

    def faces(self, scenario: Scenario, clip: str, frames: Sequence[int]) -> tuple[RenderedFace, ...]:
        """Faces that all of these frames of the clip show; boxes and codes are means over the frames."""
        plan = self.plan(scenario, clip)
        width, height = self.size.width, self.size.height
        actors_of: list[Mapping[int, Actor]] = []
        boxes: list[dict[int, np.ndarray]] = []
        codes: list[dict[int, np.ndarray]] = []
        for frame in frames:
            scene, parts = plan.scene(frame)
            actors = dict(zip(parts, scene.actors, strict=True))
            actors_of.append(actors)
            boxes.append({n: _box(actor.pose, scene.camera, width, height) for n, actor in actors.items()})
            codes.append(
                {n: _code(a.person, a.clothes, a.pose, _corruption(plan, n, frame)) for n, a in actors.items()}
            )
        faces = []
        for part in sorted(set.intersection(*(set(actors) for actors in actors_of))):
            people = [actors[part].person for actors in actors_of]
            same = [n for n, p in enumerate(scenario.portraits) if all(p.person == person for person in people)]
            code: Any = np.mean([by_part[part] for by_part in codes], axis=0)
            box: Any = np.mean([by_part[part] for by_part in boxes], axis=0)
            faces.append(RenderedFace(box.astype(np.float32), code.astype(np.float32), same[0] if same else None))
        return tuple(faces)


def corruption_code(blur: float, warp: float, resolution: float) -> tuple[float, float, float]:
    """The CORRUPTION part of a code, zeros for an intact face.

    `blur` and `warp` are strengths in [0, 1]; `resolution` is the kept share of a frame's side in (0, 1].
    """
    return 4 * blur, 4 * warp, 0.6 * (1 / resolution - 1)


def _box(pose: Pose, camera: Camera, width: int, height: int) -> np.ndarray:
    matrix = camera_matrix(camera, width, height)
    x, y = matrix[:, :2] @ np.array([pose.x * width, pose.y * height]) + matrix[:, 2]
    half = pose.size * height * camera.zoom / 2
    box = [x - WIDTH * half, y - half, x + WIDTH * half, y + half]
    return np.array(box, np.float32) / np.array([width, height, width, height], np.float32)


def _code(person: Person, clothes: Clothes, pose: Pose, corruption: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """float32 [FACE_CODE_SIZE]; the factors bring each part to about unit variance."""
    turn = pose.yaw / 25, pose.pitch / 12
    colour = (np.array(clothes.colour) - 0.45) * 4
    return np.concatenate([person_code(person), turn, colour, corruption]).astype(np.float32)


def _corruption(plan: ClipPlan, part: int, frame: int) -> tuple[float, float, float]:
    """Corruption code of one face in one frame; lost detail is that of the whole frame."""
    at = plan.position(frame)
    strength = {"blur": 0.0, "warp": 0.0}
    for damage in plan.damage:
        if damage.part == part and damage.span[0] <= at <= damage.span[1]:
            strength[damage.kind] += damage.strength
    return corruption_code(strength["blur"], strength["warp"], plan.resolution)
