"""Features of the `face-tracks` reward head: of each person in each frame, and of each person over the clip.

P people, T distinct frames, F features of a frame, C features of a person. NaN means undefined: the person is absent,
or has no earlier frame. Each feature is clipped to the range stated here, which bounds how far any clip is from the
training data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..recognition.face import Face
from .appearance import (
    FaceAppearance,
    colour_distance,
    crop_change,
    eyes_change,
    mouth_change,
    pose_change,
    shape_change,
)
from .clip_faces import ClipFaces
from .copies import clip_copies
from .identity_terms import IdentityTerms, identity_terms
from .linking import distance_in_faces, side_px

# raised whenever a feature changes for the same pixels: caches of features and fingerprints follow it
REVISION = 2

# name: (lowest, highest). Similarities are cosines of face embeddings; "reference" is the person's own.
FRAME_FEATURES: dict[str, tuple[float, float]] = {
    "present": (0, 1),
    "similarity": (-0.2, 1),
    # similarity less that of this face to the most similar other reference
    "margin_references": (-1, 1.2),
    # similarity less that of this person's reference to the most similar other face of the frame
    "margin_faces": (-1, 1.2),
    # highest similarity of an unassigned face: a double of this person
    "double": (-0.2, 1),
    # similarity of this face to the most similar other face of the frame
    "twin": (-0.2, 1),
    # unassigned faces, each weighted by its side relative to the assigned ones'
    "extra_faces": (0, 2),
    # similarity to the person's other faces, to the previous one, to the first fifth of them; similarity to the
    # reference less that of the person's best frame
    "self_similarity": (-0.2, 1),
    "previous_similarity": (-0.2, 1),
    "first_similarity": (-0.2, 1),
    "below_best": (-1, 0),
    # log ratios to the reference and to the person's median frame
    "sharpness_reference": (-4, 2),
    "sharpness_self": (-3, 3),
    # log2 of the side in pixels over 112, of the side over the frame's shorter side, and over the person's median
    "side_px": (-3, 2),
    "side_frame": (-5, 0),
    "side_self": (-2, 2),
    "detector_score": (0.6, 1),
    "yaw": (-0.6, 0.6),
    "pitch": (0, 1),
    "roll": (-0.8, 0.8),
    "pose_reference": (0, 0.8),
    "pose_previous": (0, 0.5),
    # changes of the aligned face: none between frames of a frozen face, none from the reference in a pasted one
    "shape_reference": (0, 0.15),
    "shape_previous": (0, 0.1),
    "shape_self": (0, 0.1),
    "crop_reference": (0, 1.2),
    "crop_previous": (0, 0.8),
    "crop_self": (0, 0.8),
    "eyes_previous": (0, 1),
    "mouth_previous": (0, 1),
    "hair_reference": (0, 2),
    "hair_self": (0, 1),
    "clothes_reference": (0, 2),
    "clothes_self": (0, 1),
    "skin_self": (0, 0.5),
    # since the previous frame: distance of the boxes in faces, and whether the track changed
    "jump": (0, 3),
    "track_changed": (0, 1),
    # share to which the face is a copy of the reference's image; not for the residual networks
    "copy": (0, 1),
}
PERSON_FEATURES: dict[str, tuple[float, float]] = {
    "coverage": (0, 1),
    "longest_absence": (0, 1),
    # of the mean embedding, which is less noisy than any frame's, and its margin to the other references
    "mean_similarity": (-0.2, 1),
    "mean_margin": (-1, 1.2),
    "tracks": (0, 1),
    "people": (0, 1),
    "nearest_reference": (-0.2, 1),
    "reference_side_px": (-3, 3),
    "reference_sharpness": (-6, 2),
    "reference_yaw": (-0.6, 0.6),
    "reference_pitch": (0, 1),
    "distinct_frames": (0, 1),
}
_FRAME_RANGE = np.array(list(FRAME_FEATURES.values())).T
_PERSON_RANGE = np.array(list(PERSON_FEATURES.values())).T


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    # float32, in the order of FRAME_FEATURES; NaN where undefined
    frames_PTF: np.ndarray
    # float32, in the order of PERSON_FEATURES; NaN where undefined
    person_PC: np.ndarray

    @cached_property
    def terms(self) -> IdentityTerms:
        similarity_PT, copy_PT = (
            self.frames_PTF[..., list(FRAME_FEATURES).index(name)].astype(np.float64) for name in ("similarity", "copy")
        )
        return identity_terms(similarity_PT, copy_PT)


def clip_features(clip: ClipFaces) -> ClipFeatures:
    """Features of all people in the order of `ClipFaces`."""
    frames, people = [], []
    for p in range(len(clip.references)):
        person = _PersonFeatures(clip, p)
        rows = [person.frame(t) for t in range(len(clip.frames))]
        frames.append([[row.get(name, np.nan) for name in FRAME_FEATURES] for row in rows])
        values = person.whole_clip()
        people.append([values.get(name, np.nan) for name in PERSON_FEATURES])
    return ClipFeatures(
        np.clip(np.array(frames, np.float64), *_FRAME_RANGE).astype(np.float32),
        np.clip(np.array(people, np.float64), *_PERSON_RANGE).astype(np.float32),
    )


def _unit(vector_D: np.ndarray) -> np.ndarray:
    return vector_D / max(float(np.linalg.norm(vector_D)), 1e-12)


class _PersonFeatures:
    """Features of one person of the references."""

    def __init__(self, clip: ClipFaces, p: int):
        self.clip, self.p = clip, p
        self.face_of_T = clip.face_of_TP[:, p]
        self.seen = [t for t, f in enumerate(self.face_of_T) if f >= 0]
        self.reference = clip.reference_appearances[p]
        self.others = [q for q in range(len(clip.references)) if q != p]
        if self.seen:
            appearances = [self._appearance(t) for t in self.seen]
            self.embeddings = {t: self._face(t).embedding_D.astype(np.float64) for t in self.seen}
            self.sum_D = np.sum(list(self.embeddings.values()), axis=0)
            first = self.seen[: max(round(len(self.seen) / 5), 1)]
            self.first_D = _unit(np.sum([self.embeddings[t] for t in first], axis=0))
            self.best = max(self._similarity(t) for t in self.seen)
            self.median = _median_appearance(appearances)
            crops, similarities = [a.crop_SS for a in appearances], [self._similarity(t) for t in self.seen]
            self.copies = dict(zip(self.seen, clip_copies(crops, self.reference.crop_SS, similarities), strict=True))

    def frame(self, t: int) -> dict[str, float]:
        clip, p, f = self.clip, self.p, int(self.face_of_T[t])
        similarity_F = clip.similarities[t][:, p]
        assigned = {int(face) for face in clip.face_of_TP[t] if face >= 0}
        unassigned = [g for g in range(len(similarity_F)) if g not in assigned]
        values = {
            "present": float(f >= 0),
            "double": max((similarity_F[g] for g in unassigned), default=0.0),
            "extra_faces": self._extra_faces(t, unassigned, assigned),
        }
        if f < 0:
            return values
        face, appearance, own_D = self._face(t), self._appearance(t), self.embeddings[t]
        rivals = [similarity_F[g] for g in range(len(similarity_F)) if g != f]
        similarity = float(similarity_F[f])
        values |= {
            "similarity": similarity,
            "margin_references": similarity - max((clip.similarities[t][f, q] for q in self.others), default=0.0),
            "margin_faces": similarity - max(rivals, default=0.0),
            "twin": max(
                (float((own_D * other.embedding_D).sum()) for g, other in enumerate(clip.frames[t]) if g != f),
                default=0.0,
            ),
            "first_similarity": float((own_D * self.first_D).sum()),
            "below_best": similarity - self.best,
            "sharpness_reference": appearance.sharpness - self.reference.sharpness,
            "sharpness_self": appearance.sharpness - self.median.sharpness,
            "side_px": np.log2(side_px(face) / 112),
            "side_frame": np.log2(side_px(face) / min(clip.frame_size)),
            "side_self": np.log2(side_px(face) / self.median.side_px),
            "detector_score": face.score,
            "yaw": appearance.yaw,
            "pitch": appearance.pitch,
            "roll": appearance.roll,
            "pose_reference": pose_change(appearance, self.reference),
            "shape_reference": shape_change(appearance, self.reference),
            "crop_reference": crop_change(appearance, self.reference),
            "hair_reference": colour_distance(appearance.hair_6, self.reference.hair_6),
            "clothes_reference": colour_distance(appearance.clothes_6, self.reference.clothes_6),
            "copy": self.copies[t],
        }
        if len(self.seen) > 1:
            values |= {
                "self_similarity": float((own_D * _unit(self.sum_D - own_D)).sum()),
                "shape_self": shape_change(appearance, self.median),
                "crop_self": crop_change(appearance, self.median),
                "hair_self": colour_distance(appearance.hair_6, self.median.hair_6),
                "clothes_self": colour_distance(appearance.clothes_6, self.median.clothes_6),
                "skin_self": colour_distance(appearance.skin_2, self.median.skin_2),
            }
        if earlier := [s for s in self.seen if s < t]:
            values |= self._since(earlier[-1], t)
        return values

    def _since(self, s: int, t: int) -> dict[str, float]:
        """Compared with frame s, the last one before t in which the person was seen."""
        before, after = self._appearance(s), self._appearance(t)
        track = [self.clip.tracks[u][self.face_of_T[u]] for u in (s, t)]
        return {
            "previous_similarity": float((self.embeddings[s] * self.embeddings[t]).sum()),
            "pose_previous": pose_change(before, after),
            "shape_previous": shape_change(before, after),
            "crop_previous": crop_change(before, after),
            "eyes_previous": eyes_change(before, after),
            "mouth_previous": mouth_change(before, after),
            "jump": distance_in_faces(self._face(s), self._face(t)),
            "track_changed": float(track[0] != track[1]),
        }

    def whole_clip(self) -> dict[str, float]:
        clip, p, reference = self.clip, self.p, self.reference
        num_frames = len(clip.frames)
        gaps = np.diff([-1, *self.seen, num_frames]) - 1
        to_references_P = (clip.references_PD.astype(np.float64) * clip.references_PD[p].astype(np.float64)).sum(-1)
        values = {
            "coverage": len(self.seen) / num_frames,
            "longest_absence": float(gaps.max()) / num_frames,
            "tracks": (len({clip.tracks[t][self.face_of_T[t]] for t in self.seen}) - 1) / 4,
            "people": (len(clip.references) - 1) / 3,
            "nearest_reference": max((float(to_references_P[q]) for q in self.others), default=0.0),
            "reference_side_px": np.log2(reference.side_px / 112),
            "reference_sharpness": reference.sharpness,
            "reference_yaw": reference.yaw,
            "reference_pitch": reference.pitch,
            "distinct_frames": num_frames / 16,
        }
        if self.seen:
            mean_D = _unit(self.sum_D)
            similarity_P = (clip.references_PD.astype(np.float64) * mean_D).sum(-1)
            rival = max((float(similarity_P[q]) for q in self.others), default=0.0)
            values |= {"mean_similarity": float(similarity_P[p]), "mean_margin": float(similarity_P[p]) - rival}
        return values

    def _face(self, t: int) -> Face:
        return self.clip.frames[t][self.face_of_T[t]]

    def _appearance(self, t: int) -> FaceAppearance:
        return self.clip.appearances[t][self.face_of_T[t]]

    def _similarity(self, t: int) -> float:
        return float(self.clip.similarities[t][self.face_of_T[t], self.p])

    def _extra_faces(self, t: int, unassigned: list[int], assigned: set[int]) -> float:
        faces = self.clip.frames[t]
        if not unassigned:
            return 0.0
        usual_px = (
            np.median([side_px(faces[g]) for g in assigned]) if assigned else max(side_px(face) for face in faces)
        )
        return float(sum(min(side_px(faces[g]) / usual_px, 1.0) for g in unassigned))


def _median_appearance(appearances: list[FaceAppearance]) -> FaceAppearance:
    """The median of each measurement, which a few odd frames do not change."""
    names = FaceAppearance.__dataclass_fields__
    return FaceAppearance(**{name: np.median([getattr(a, name) for a in appearances], axis=0) for name in names})
