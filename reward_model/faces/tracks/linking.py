"""Linking of faces over sampled frames into tracks: a track is one face that stays in the clip.

Sampled frames are about a third of a second apart, so that boxes of one face often do not overlap; distances are
measured in widths of the face. If another face replaces a face in the same place, the track continues (drift features
depend on that); two people who cross are kept apart by their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..recognition.detection import Detection
from ..recognition.face import Face


@dataclass(frozen=True)
class TrackRule:
    # a track without a face for more frames than this is closed
    max_gap_frames: int = 4
    # weight of a cosine similarity of 1; the same place at the same size weighs 1
    similarity_weight: float = 2.0
    # least affinity at which a face joins a track: reached in the same place by any face, anywhere at a cosine of 0.4
    min_affinity: float = 0.8
    # a box that the detector is less sure of than of a face (DetectorConfig.min_score) counts as the face of a track
    # that has none in its frame if it has at least this confidence, and this affinity: in the track's last place at a
    # cosine of 0.2
    faint_score: float = 0.5
    min_faint_affinity: float = 1.4


@dataclass(eq=False)
class _Track:
    number: int
    face: Face
    last_frame: int
    # float64, of its embeddings
    sum_D: np.ndarray = field(repr=False)

    def affinity(self, face: Face, frame: int, rule: TrackRule) -> float:
        """In [0, 1 + similarity_weight]; nearness halves with every frame without a face of the track."""
        embedding_D = face.embedding_D.astype(np.float64)
        to_mean = float((embedding_D * self.sum_D).sum() / max(np.linalg.norm(self.sum_D), 1e-12))
        to_last = float((embedding_D * self.face.embedding_D).sum())
        nearness = nearness_of(self.face, face) * 0.5 ** (frame - self.last_frame - 1)
        return nearness + rule.similarity_weight * max(to_mean, to_last, 0.0)

    def add(self, face: Face, frame: int) -> None:
        self.face, self.last_frame = face, frame
        self.sum_D = self.sum_D + face.embedding_D


def centre(face: Face | Detection) -> tuple[float, float]:
    x, y, w, h = face.box_xywh
    return x + w / 2, y + h / 2


def side_px(face: Face | Detection) -> float:
    """Side of a square with the area of the face's box."""
    return max(face.area_px, 1e-9) ** 0.5


def distance_in_faces(a: Face | Detection, b: Face | Detection) -> float:
    """Distance of two boxes' centres, in sides of the larger face."""
    (ax, ay), (bx, by) = centre(a), centre(b)
    return float(np.hypot(ax - bx, ay - by) / max(side_px(a), side_px(b)))


def nearness_of(a: Face | Detection, b: Face | Detection) -> float:
    """1 for equal boxes, about 0.4 at a distance of one face's width, towards 0; times the ratio of the sides."""
    sides = sorted((side_px(a), side_px(b)))
    return float(np.exp(-(distance_in_faces(a, b) ** 2)) * sides[0] / sides[1])


def link(frames: Sequence[Sequence[Face]], rule: TrackRule = TrackRule()) -> tuple[tuple[int, ...], ...]:
    """For each frame the track number of each of its faces; tracks are numbered as they appear."""
    tracks: list[_Track] = []
    numbers = []
    for t, faces in enumerate(frames):
        open_tracks = [track for track in tracks if t - track.last_frame <= rule.max_gap_frames + 1]
        affinity_KF = np.array([[track.affinity(face, t, rule) for face in faces] for track in open_tracks])
        track_of_face: dict[int, _Track] = {}
        if affinity_KF.size:
            for k, f in zip(*linear_sum_assignment(affinity_KF, maximize=True), strict=True):
                if affinity_KF[k, f] >= rule.min_affinity:
                    track_of_face[int(f)] = open_tracks[k]
                    open_tracks[k].add(faces[f], t)
        for f, face in enumerate(faces):
            if f not in track_of_face:
                track_of_face[f] = _Track(len(tracks), face, t, face.embedding_D.astype(np.float64))
                tracks.append(track_of_face[f])
        numbers.append(tuple(track_of_face[f].number for f in range(len(faces))))
    return tuple(numbers)
