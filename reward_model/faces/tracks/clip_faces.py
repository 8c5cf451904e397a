"""All that is seen of the faces of one sample: who, where, how they look, whose they are, and in which track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reward_model.types import ReferenceSet, Sample

from ..recognition.face import Face, FaceReader
from ..recognition.matching import cosines, match
from ..recognition.reference_faces import ReferenceFace, ReferenceFaces
from .appearance import Look, look_at
from .linking import TrackRule, link

# what a track's mean similarity counts beside a face's own when faces are given to people: it carries a face through a
# blurred frame
TRACK_WEIGHT = 0.5


@dataclass(frozen=True, eq=False)
class ClipFaces:
    """P people in an order of their own (`order`), T distinct frames, F faces of a frame."""

    # of person p here: the number of its reference in the sample
    order: tuple[int, ...]
    references: tuple[ReferenceFace, ...]
    reference_looks: tuple[Look, ...]
    frames: tuple[tuple[Face, ...], ...]
    looks: tuple[tuple[Look, ...], ...]
    tracks: tuple[tuple[int, ...], ...]
    frame_indices: tuple[int, ...]
    # (height, width) in pixels
    frame_size: tuple[int, int]

    @property
    def num_tracks(self) -> int:
        return 1 + max((number for numbers in self.tracks for number in numbers), default=-1)

    @cached_property
    def references_PD(self) -> np.ndarray:
        return np.stack([reference.face.embedding_D for reference in self.references])

    @cached_property
    def similarities(self) -> tuple[np.ndarray, ...]:
        """Of each frame, [F, P] float64."""
        return tuple(
            cosines(np.stack([face.embedding_D for face in faces]), self.references_PD)
            if faces
            else np.zeros((0, len(self.references)))
            for faces in self.frames
        )

    @cached_property
    def face_of_TP(self) -> np.ndarray:
        """int: which face of a frame is the person's, -1 for none: one face for one person, by similarity."""
        mean_KP = self._track_similarities()
        rows = []
        for similarity_FP, tracks in zip(self.similarities, self.tracks, strict=True):
            if len(similarity_FP):
                rows.append(match(similarity_FP + TRACK_WEIGHT * mean_KP[list(tracks)]))
            else:
                rows.append(np.full(len(self.references), -1))
        return np.stack(rows)

    def _track_similarities(self) -> np.ndarray:
        """[tracks, P] mean similarity of each track's faces."""
        sums_KP = np.zeros((self.num_tracks, len(self.references)))
        counts_K = np.zeros(self.num_tracks)
        for similarity_FP, tracks in zip(self.similarities, self.tracks, strict=True):
            for similarity_P, number in zip(similarity_FP, tracks, strict=True):
                sums_KP[number] += similarity_P
                counts_K[number] += 1
        return sums_KP / counts_K[:, None]


class ClipReader:
    """Safe to call from several threads at once."""

    def __init__(self, reader: FaceReader, rule: TrackRule = TrackRule()):
        self.reader = reader
        self.rule = rule
        self.references = ReferenceFaces(reader)

    def read(self, sample: Sample) -> ClipFaces:
        """Each distinct frame once. People are put in the order of their pictures' hashes, so that no bit depends on
        the order in which they were given. ReferenceWithoutFace if a reference shows none."""
        keys = sample.references.keys
        order = tuple(sorted(range(len(keys)), key=keys.__getitem__))
        references = self._references(sample.references, order)
        images = [sample.references.images[p] for p in order]
        at = dict(zip(sample.video.frame_indices, sample.video.frames_THWC, strict=True))
        frames = tuple(self.reader.read(frame_HWC) for frame_HWC in at.values())
        return ClipFaces(
            order,
            references,
            tuple(look_at(image, one.face) for image, one in zip(images, references, strict=True)),
            frames,
            tuple(_looks(frame_HWC, faces) for frame_HWC, faces in zip(at.values(), frames, strict=True)),
            link(frames, self.rule),
            tuple(at),
            sample.video.frames_THWC.shape[1:3],
        )

    def warm_up(self) -> ClipFaces:
        """What would be read of a grey clip in which a face is said to be, after running everything once."""
        grey_HWC, faces, face = self.reader.made_up()
        look = look_at(grey_HWC, face)
        frames, looks = (faces, (face,), (face,)), ((), (look,), (look,))
        tracks, size = link(frames, self.rule), grey_HWC.shape[:2]
        return ClipFaces((0,), (ReferenceFace(face, 1),), (look,), frames, looks, tracks, (0, 1, 2), size)

    def _references(self, given: ReferenceSet, order: Sequence[int]) -> tuple[ReferenceFace, ...]:
        # read as given: an error names a picture by its place there
        found = self.references.read(given)
        return tuple(found[p] for p in order)


def _looks(frame_HWC: np.ndarray, faces: Sequence[Face]) -> tuple[Look, ...]:
    return tuple(look_at(frame_HWC, face) for face in faces)
