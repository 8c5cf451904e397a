"""Clips that show the right people, of OpenPeople's photographs and of rendered people, as sampled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from PIL import Image

from reward_model.data.people.photographs.openpeople import photographs_folder
from reward_model.data.people.photographs.source import PhotographedPeople
from reward_model.data.people.scenarios.scenario import ClipSize
from reward_model.data.people.scenarios.sources import RenderedPeople, ScenarioSource
from reward_model.data.people.scenes.video_encoding import compress
from reward_model.data.seeding import generator
from reward_model.faces.frame_sampling import FACE_TRACKS
from reward_model.faces.recognition.reader import bundled_reader
from reward_model.types import ReferenceSet, Sample, Video

SIZE = ClipSize()
INDICES = FACE_TRACKS.indices(SIZE.num_frames, SIZE.fps)
CRF = 24
_SHEET_COLUMNS, _NUM_EXPRESSIONS = 4, 16


@dataclass(frozen=True, eq=False)
class HonestClip:
    """frames_THWC: uint8 RGB, the frames of INDICES before compression by `crf`."""

    name: str
    frames_THWC: np.ndarray
    crf: int = CRF


@dataclass(frozen=True, eq=False)
class Cast:
    """People with their reference images, from left to right, and clips that show them."""

    name: str
    references: ReferenceSet
    clips: tuple[HonestClip, ...]

    def sample(self, frames_THWC: np.ndarray, crf: int = CRF) -> Sample:
        """What a scorer gets of a clip of these frames after compression."""
        compressed = compress(frames_THWC, SIZE.fps, crf)
        return Sample(self.references, Video(compressed, SIZE.fps, SIZE.num_frames, INDICES[: len(compressed)]))


def photographed_cast(seed: int, index: int) -> Cast:
    """One or two of OpenPeople's ten; a cast of one person has a clip of changing expressions, too."""
    source = _photographed(seed)
    cast = _cast(source, index)
    if len(cast.references.images) == 1:
        person = source.scenario(index, "test").references[0].person
        frames_THWC = expression_clip(person, generator("expressions", seed, index))
        cast = replace(cast, clips=(*cast.clips, HonestClip(f"{cast.name}-expressions", frames_THWC)))
    return cast


def rendered_cast(seed: int, index: int) -> Cast:
    """One to three rendered people."""
    return _cast(_rendered(seed), index)


@cache
def _photographed(seed: int) -> PhotographedPeople:
    return PhotographedPeople(seed, SIZE, 6, {"test": 1.0})


@cache
def _rendered(seed: int) -> RenderedPeople:
    """Open until the process ends."""
    return RenderedPeople(seed, SIZE, 6)


def _cast(source: ScenarioSource, index: int) -> Cast:
    """The cast of a scenario with its uncorrupted clips, each once filmed well and once with nuisances."""
    scenario = source.scenario(index, "test")
    clips = [clip for clip in scenario.clips if not clip.severities]
    filmed = [clip.with_nuisances(index) for clip in clips]
    return Cast(
        scenario.name,
        ReferenceSet(tuple(reference.render() for reference in scenario.references)),
        tuple(HonestClip(clip.name, clip.render(INDICES), clip.crf) for clip in (*clips, *filmed)),
    )


def expression_clip(person: str, rng: np.random.Generator) -> np.ndarray:
    """uint8 RGB frames of INDICES: a face that goes through six expressions, before a camera that moves a little.

    Up to three of the sixteen expressions of a sheet are nearly the reference: the generator kept the portrait.
    """
    faces = expressions(person)
    chosen = [faces[n] for n in rng.choice(_NUM_EXPRESSIONS, 6, replace=False)]
    start_px, drift_px = rng.uniform(-15, 15, 2), rng.uniform(-25, 25, 2)
    frames = []
    for position in np.linspace(0, 1, len(INDICES)):
        first, share = divmod(position * (len(chosen) - 1.001), 1)
        # two fifths of the time an expression stands, then it blends into the next
        blend = float(np.clip((share - 0.4) / 0.6, 0, 1))
        face = cv2.addWeighted(chosen[int(first)], 1 - blend, chosen[int(first) + 1], blend, 0)
        x, y = start_px + drift_px * position
        moved = cv2.warpAffine(face, np.array([[1, 0, x], [0, 1, y]]), face.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        frames.append(moved)
    return np.stack(frames)


@cache
def expressions(person: str) -> Sequence[np.ndarray]:
    """The expressions of OpenPeople's sheet as frames of the clip's size, uint8 RGB, with faces in one place."""
    with Image.open(photographs_folder() / person / "assets/emotions_sheet.jpg") as file:
        sheet_HWC = np.asarray(file.convert("RGB"))
    faces = sorted(bundled_reader().read(sheet_HWC), key=lambda face: face.box_xywh[1])
    if len(faces) != _NUM_EXPRESSIONS:
        raise RuntimeError(f"{person}: {len(faces)} faces on the sheet of expressions, which has {_NUM_EXPRESSIONS}")
    rows = [faces[n : n + _SHEET_COLUMNS] for n in range(0, len(faces), _SHEET_COLUMNS)]
    ordered = [face for row in rows for face in sorted(row, key=lambda face: face.box_xywh[0])]
    frames = []
    for face in ordered:
        x, y, width, height = face.box_xywh
        # the face fills half of the frame's height
        scale = 0.5 * SIZE.height / height
        left, top = SIZE.width / 2 - scale * (x + width / 2), 0.45 * SIZE.height - scale * (y + height / 2)
        matrix = np.array([[scale, 0, left], [0, scale, top]])
        frames.append(
            cv2.warpAffine(
                sheet_HWC, matrix, (SIZE.width, SIZE.height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
            )
        )
    return frames
