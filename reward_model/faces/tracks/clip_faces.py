"""All faces of one sample: detections, embeddings, appearances, tracks, and their assignment to people.

P people of the references, T distinct frames, F faces of a frame, K tracks, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reward_model.types import ReferenceSet, Sample

from ..recognition.detection import Detection
from ..recognition.face import Face
from ..recognition.matching import cosines, match
from ..recognition.reader import FaceReader
from ..recognition.reference_faces import ReferenceFace, ReferenceFaces
from .appearance import FaceAppearance, measure_appearance
from .linking import TrackRule, link
from .second_look import second_look

# weight of a track's mean similarity beside a face's own when faces are assigned to people, so that a person keeps
# their face through a blurred frame
TRACK_WEIGHT = 0.5


@dataclass(frozen=True, eq=False)
class ClipFaces:
    """The faces of a sample. People are in an order of their own."""

    # [P] for each person the index of the reference in the sample
    order: tuple[int, ...]
    references: tuple[ReferenceFace, ...]
    reference_appearances: tuple[FaceAppearance, ...]
    # of each frame: its faces, largest first, their appearances and the numbers of their tracks
    frames: tuple[tuple[Face, ...], ...]
    appearances: tuple[tuple[FaceAppearance, ...], ...]
    tracks: tuple[tuple[int, ...], ...]
    frame_indices: tuple[int, ...]
    # (height, width) in pixels
    frame_size: tuple[int, int]

    @property
    def num_tracks(self) -> int:
        return 1 + max((number for numbers in self.tracks for number in numbers), default=-1)

    @cached_property
    def references_PD(self) -> np.ndarray:  # noqa: N802  # shape suffix
        """float32 embeddings."""
        return np.stack([reference.face.embedding_D for reference in self.references])

    @cached_property
    def similarities(self) -> tuple[np.ndarray, ...]:
        """Of each frame the cosine similarities [F, P] float64."""
        return tuple(
            cosines(np.stack([face.embedding_D for face in faces]), self.references_PD)
            if faces
            else np.zeros((0, len(self.references)))
            for faces in self.frames
        )

    @cached_property
    def face_of_TP(self) -> np.ndarray:  # noqa: N802  # shape suffix
        """[T, P] int: the index of each person's face in a frame, -1 for none; one face per person, by similarity."""
        mean_KP = self._track_similarities()
        rows = []
        for similarity_FP, tracks in zip(self.similarities, self.tracks, strict=True):
            if len(similarity_FP):
                rows.append(match(similarity_FP + TRACK_WEIGHT * mean_KP[list(tracks)]))
            else:
                rows.append(np.full(len(self.references), -1))
        return np.stack(rows)

    def _track_similarities(self) -> np.ndarray:
        """[K, P] mean similarity of each track's faces."""
        sums_KP = np.zeros((self.num_tracks, len(self.references)))
        counts_K = np.zeros(self.num_tracks)
        for similarity_FP, tracks in zip(self.similarities, self.tracks, strict=True):
            for similarity_P, number in zip(similarity_FP, tracks, strict=True):
                sums_KP[number] += similarity_P
                counts_K[number] += 1
        return sums_KP / counts_K[:, None]


@dataclass(frozen=True, eq=False)
class _Frame:
    faces: tuple[Face, ...]
    appearances: tuple[FaceAppearance, ...]
    # boxes below the detector's confidence for a face
    faint: list[Detection]


class ClipReader:
    """Reads the faces of samples. Safe to call from several threads at once."""

    def __init__(self, reader: FaceReader, rule: TrackRule = TrackRule()):
        self.reader = reader
        self.rule = rule
        self.references = ReferenceFaces(reader)

    def read(self, sample: Sample) -> ClipFaces:
        """Reads each distinct frame once. ReferenceWithoutFace if a reference shows no face.

        People are sorted by the hashes of their reference images, so that no result depends on the references' order.
        """
        frames_by_index = dict(zip(sample.video.frame_indices, sample.video.frames_THWC, strict=True))
        # they are read while this thread reads the references
        readings = self.reader.begin(self._read_frame, frames_by_index.values())
        try:
            keys = sample.references.keys
            order = tuple(sorted(range(len(keys)), key=keys.__getitem__))
            references = self._references(sample.references, order)
            images = [sample.references.images[p] for p in order]
            frames, appearances = self._frames(
                list(frames_by_index.values()), [reading.result() for reading in readings]
            )
        finally:
            for reading in readings:
                reading.cancel()
        return ClipFaces(
            order,
            references,
            tuple(
                measure_appearance(image, reference.face) for image, reference in zip(images, references, strict=True)
            ),
            frames,
            appearances,
            link(frames, self.rule),
            tuple(frames_by_index),
            sample.video.frames_THWC.shape[1:3],
        )

    def warm_up(self) -> ClipFaces:
        """Runs everything once; returns the faces of a grey clip with a made-up face."""
        grey_HWC, faces, face = self.reader.read_blank()
        appearance = measure_appearance(grey_HWC, face)
        frames, appearances = (faces, (face,), (face,)), ((), (appearance,), (appearance,))
        tracks, size = link(frames, self.rule), grey_HWC.shape[:2]
        return ClipFaces((0,), (ReferenceFace(face, 1),), (appearance,), frames, appearances, tracks, (0, 1, 2), size)

    def _read_frame(self, frame_HWC: np.ndarray) -> _Frame:
        faces, faint = self.reader.read_faint(frame_HWC, self.rule.faint_score)
        return _Frame(faces, tuple(measure_appearance(frame_HWC, face) for face in faces), faint)

    def _frames(
        self, images: Sequence[np.ndarray], frames: Sequence[_Frame]
    ) -> tuple[tuple[tuple[Face, ...], ...], tuple[tuple[FaceAppearance, ...], ...]]:
        """Faces and appearances of all frames, with those faint boxes that are faces of tracks."""
        found = [frame.faces for frame in frames]
        more = second_look(
            found, [frame.faint for frame in frames], self.rule, lambda t, box: self.reader.embed(images[t], box)
        )
        faces, appearances = [], []
        for image_HWC, frame, added in zip(images, frames, more, strict=True):
            pairs = [*zip(frame.faces, frame.appearances, strict=True)]
            pairs += [(face, measure_appearance(image_HWC, face)) for face in added]
            pairs.sort(key=lambda pair: (-pair[0].area_px, pair[0].box_xywh))
            faces.append(tuple(face for face, _ in pairs))
            appearances.append(tuple(appearance for _, appearance in pairs))
        return tuple(faces), tuple(appearances)

    def _references(self, references: ReferenceSet, order: Sequence[int]) -> tuple[ReferenceFace, ...]:
        # read in the sample's order: an error names an image by its index there
        faces = self.references.read(references)
        return tuple(faces[p] for p in order)
