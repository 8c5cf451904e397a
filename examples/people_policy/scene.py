"""What a prompt's key fixes of a clip: clothes, places, motion, background, light, camera. Identities are latents.

Members of a group have one key, so they differ by the people whom the latents show, and by nothing else.
P people of the prompt, K key frames, T frames, C = CODE_SIZE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reward_model.data.people.appearance.person import Person
from reward_model.data.people.appearance.person_code import person_from_code
from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.corruptions.parts import Cast
from reward_model.data.people.scenarios.scenario import ClipSize, sample_original
from reward_model.data.people.scenes.clip_plan import ClipPlan
from reward_model.data.people.scenes.portrait import Portrait, sample_portrait
from reward_model.data.people.scenes.renderer import Renderer
from reward_model.data.people.scenes.scene import Scene
from reward_model.data.seeding import generator

MAX_PEOPLE = 2
NUM_KEY_FRAMES = 4
# two seconds; face-tracks looks at 16 frames at most
CLIP_SIZE = ClipSize(num_frames=8, fps=4.0, width=252, height=140)
NAMES = ("first", "second")


def scene_seed(key: str) -> int:
    """Seed of everything that a prompt's key fixes; fits into int64."""
    return int(generator("people policy", key).integers(2**62))


def sample_portraits(seed: int, people: Sequence[Person]) -> tuple[Portrait, ...]:
    """Portraits in the clothes of the clip, in poses, lights and places of their own; `seed`: of the scene."""
    named = [replace(person, name=name) for person, name in zip(people, NAMES, strict=False)]
    return tuple(sample_portrait(seed, person, sample_clothes(seed, person.name)) for person in named)


def sample_plan(seed: int, num_people: int) -> ClipPlan:
    """The clip of this scene with placeholders for its people."""
    placeholders = [sample_person(seed, name) for name in NAMES[:num_people]]
    return sample_original(seed, "clip", Cast(seed, sample_portraits(seed, placeholders)), CLIP_SIZE)


def frame_codes(codes_PKC: np.ndarray, num_frames: int) -> np.ndarray:
    """[P, T, C] codes of the frames, linear between key frames, of which the first and last are those of the clip."""
    num_key_frames = codes_PKC.shape[1]
    position = np.linspace(0, num_key_frames - 1, num_frames)
    before = np.minimum(position.astype(int), num_key_frames - 2)
    share = (position - before)[:, None]
    return codes_PKC[:, before] * (1 - share) + codes_PKC[:, before + 1] * share


def clip_scenes(seed: int, codes_PKC: np.ndarray) -> list[Scene]:
    """The scene of each frame. Below the neck people keep the build that they have in the first frame."""
    plan = sample_plan(seed, len(codes_PKC))
    codes_PTC = frame_codes(codes_PKC, plan.num_frames)
    people = [
        [person_from_code(code, name) for code in codes_TC] for name, codes_TC in zip(NAMES, codes_PTC, strict=False)
    ]
    scenes = []
    for index in range(plan.num_frames):
        scene, parts = plan.scene(index)
        actors = (
            replace(actor, person=people[part][index], body=people[part][0])
            for part, actor in zip(parts, scene.actors, strict=True)
        )
        scenes.append(replace(scene, actors=tuple(actors)))
    return scenes


def render_clip(renderer: Renderer, seed: int, codes_PKC: np.ndarray) -> np.ndarray:
    """frames_THWC, uint8 RGB, of a scene with these people."""
    scenes = clip_scenes(seed, codes_PKC)
    return np.stack([renderer.render(scene, CLIP_SIZE.width, CLIP_SIZE.height).rgb for scene in scenes])
