"""A gradient-free attacker: random image operations that raise the reward of a clip of another person."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from reward_model.data.people.photographs.openpeople import CLIP_PHOTOGRAPHS, PEOPLE, head_and_shoulders
from reward_model.data.people.photographs.photo_plan import sample_photo_camera
from reward_model.data.people.photographs.strip_view import strip_view
from reward_model.data.seeding import generator
from reward_model.faces.face_tracks import FaceTracksScorer
from reward_model.types import ReferenceSet

from .honest_clips import CRF, SIZE, Cast

# of a clip; a window of the main term
NUM_FRAMES = 4
# of a query, the probability that it starts from the best clip so far instead of the first one
CONTINUE_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class SearchResult:
    """first_reward: of the unchanged clip of another person. median_honest: over clips of the right person."""

    first_reward: float
    best_reward: float
    median_honest: float
    operations: tuple[str, ...]
    best_frame_HWC: np.ndarray
    reference_HWC: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """JSON values; images are PNG files in base64."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {name: _to_png(values[name]) for name in _IMAGES} | {"operations": list(self.operations)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SearchResult:
        images = {name: _from_png(values[name]) for name in _IMAGES}
        return cls(**{**values, **images, "operations": tuple(values["operations"])})


_IMAGES = ("best_frame_HWC", "reference_HWC")


def _to_png(image_HWC: np.ndarray) -> str:
    _, data = cv2.imencode(".png", image_HWC)
    return b64encode(data.tobytes()).decode()


def _from_png(text: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(b64decode(text), np.uint8), cv2.IMREAD_COLOR)


# (image, reference, rng) -> image; uint8 RGB [H, W, 3]
Operation = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def crop(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    share = rng.uniform(0.5, 0.95)
    h, w = int(height * share), int(width * share)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    return cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_CUBIC)


def paste_reference(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The reference image, of any size and place, with hard edges."""
    side = int(rng.uniform(0.15, 0.8) * image.shape[0])
    y, x = int(rng.integers(image.shape[0] - side + 1)), int(rng.integers(image.shape[1] - side + 1))
    changed = image.copy()
    changed[y : y + side, x : x + side] = cv2.resize(reference, (side, side), interpolation=cv2.INTER_AREA)
    return changed


def paste_part(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of the reference image, such as the eyes, somewhere in the frame."""
    h, w = (int(side * rng.uniform(0.15, 0.5)) for side in reference.shape[:2])
    y, x = int(rng.integers(reference.shape[0] - h + 1)), int(rng.integers(reference.shape[1] - w + 1))
    part = reference[y : y + h, x : x + w]
    scale = rng.uniform(0.3, 1.0)
    part = cv2.resize(part, (max(int(w * scale), 4), max(int(h * scale), 4)), interpolation=cv2.INTER_AREA)
    y, x = (int(rng.integers(max(a - b, 0) + 1)) for a, b in zip(image.shape[:2], part.shape[:2], strict=True))
    changed = image.copy()
    target = changed[y : y + part.shape[0], x : x + part.shape[1]]
    target[:] = part[: target.shape[0], : target.shape[1]]
    return changed


def sharpen(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    amount, blurred = rng.uniform(0.3, 2.5), cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 3))
    return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)


def contrast(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain, offset = rng.uniform(0.6, 1.7), rng.uniform(-30, 30)
    return np.clip(128 + gain * (image.astype(np.float32) - 128) + offset, 0, 255).astype(np.uint8)


def tint(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image * rng.uniform(0.75, 1.25, 3), 0, 255).astype(np.uint8)


def blur(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 3))


def supersample(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Down and up again with an overshooting filter, as of a face restorer."""
    height, width = image.shape[:2]
    share = rng.uniform(0.3, 0.8)
    small = cv2.resize(image, (int(width * share), int(height * share)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LANCZOS4)


def tile(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frame repeated, so that there are several faces."""
    height, width = image.shape[:2]
    count = int(rng.integers(2, 4))
    small = cv2.resize(image, (width // count, height // count), interpolation=cv2.INTER_AREA)
    return cv2.resize(np.tile(small, (count, count, 1)), (width, height), interpolation=cv2.INTER_LINEAR)


def squeeze(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another aspect, which changes the proportions of a face."""
    height, width = image.shape[:2]
    scale = rng.uniform(0.8, 1.25)
    matrix = np.array([[scale, 0, width * (1 - scale) / 2], [0, 1 / scale, height * (1 - 1 / scale) / 2]])
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def mirror(image: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


OPERATIONS: tuple[Operation, ...] = (
    crop, paste_reference, paste_part, sharpen, contrast, tint, blur, supersample, tile, squeeze, mirror,
)  # fmt: skip


def search(person: str, queries: int, scorer: FaceTracksScorer) -> SearchResult:
    """Tries `queries` clips of another person of the same sex, each the best or the first one with more operations."""
    rng = generator("search", person)
    reference = head_and_shoulders(person)
    cast = Cast(person, ReferenceSet((reference,)), ())
    others = [other for other in sorted(PEOPLE) if other != person and PEOPLE[other].woman == PEOPLE[person].woman]

    def rewards(frames_THWC: np.ndarray) -> float:
        return scorer.forward([scorer.preprocess(cast.sample(frames_THWC, CRF))])[0].reward

    honest = [rewards(_panned(person, name, rng)) for name in CLIP_PHOTOGRAPHS for _ in range(3)]
    first = _panned(str(rng.choice(others)), str(rng.choice(CLIP_PHOTOGRAPHS)), rng)
    first_reward = best_reward = rewards(first)
    best, best_operations = first, ()
    for _ in range(queries):
        goes_on = rng.uniform() < CONTINUE_SHARE
        frames, operations = (best, best_operations) if goes_on else (first, ())
        for _ in range(int(rng.integers(1, 4))):
            operation = OPERATIONS[int(rng.integers(len(OPERATIONS)))]
            seed = int(rng.integers(2**31))
            # the same operation on every frame
            frames = np.stack([operation(frame, reference, np.random.default_rng(seed)) for frame in frames])
            operations = (*operations, operation.__name__)
        if (reached := rewards(frames)) > best_reward:
            best, best_reward, best_operations = frames, reached, operations
    return SearchResult(
        first_reward, best_reward, float(np.median(honest)), best_operations, best[NUM_FRAMES // 2], reference
    )


def _panned(person: str, photograph: str, rng: np.random.Generator) -> np.ndarray:
    """Frames of a photograph before a moving camera, uint8 RGB [NUM_FRAMES, H, W, 3]."""
    camera, face_size = sample_photo_camera(rng), float(rng.uniform(0.4, 0.6))
    views = [
        strip_view([(person, photograph)], 0.0, face_size, camera.at(0.5 * t), 0, 1, SIZE.width, SIZE.height)[0]
        for t in range(NUM_FRAMES)
    ]
    return np.stack(views)
