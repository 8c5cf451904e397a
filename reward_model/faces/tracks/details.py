"""The `details` of a `face-tracks` score: JSON types only, people in the order of the references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..recognition.matching import absent_as_zero
from .clip_faces import ClipFaces
from .features import FRAME_FEATURES, ClipFeatures


def track_details(clip: ClipFaces, features: ClipFeatures) -> dict[str, Any]:
    """`people`: measurements per reference (null where absent); `tracks`: every tracked face of the clip.

    Similarities are cosines; an absent person counts as 0 in `similarity`. Derived from features of the reward head:
    `double` is the highest similarity of an unassigned face to the person, `drift` is 1 minus the person's lowest
    similarity to their own first frames, `stillness` is 1 minus the median change of the aligned face between frames.
    `reference_face_score` is the detector's confidence in the reference's face, 0..1; `reference_rotation_degrees`
    other than 0 means that the reference is probably not upright: rotated clockwise by that, it shows a face
    more clearly.
    """
    by_name = dict(zip(FRAME_FEATURES, np.moveaxis(features.frames_PTF.astype(np.float64), -1, 0), strict=True))
    people: list[dict[str, Any]] = [{} for _ in clip.order]
    for p, reference_index in enumerate(clip.order):
        similarity_T = by_name["similarity"][p]
        face_of_T = clip.face_of_TP[:, p]
        people[reference_index] = {
            "reference_index": reference_index,
            "similarity": float(absent_as_zero(similarity_T).mean()),
            "coverage": float((face_of_T >= 0).mean()),
            "frame_similarities": [None if np.isnan(s) else float(s) for s in similarity_T],
            "frame_tracks": [None if f < 0 else tracks[f] for f, tracks in zip(face_of_T, clip.tracks, strict=True)],
            "margin": _pool_finite(by_name["margin_references"][p], np.mean),
            "double": _pool_finite(by_name["double"][p], np.max),
            "drift": _one_minus(_pool_finite(by_name["first_similarity"][p], np.min)),
            "stillness": _one_minus(_pool_finite(by_name["crop_previous"][p], np.median)),
            **clip.references[p].details,
        }
    similarity_PT = np.array([person["frame_similarities"] for person in people], float)
    best = int(absent_as_zero(similarity_PT).mean(0).argmax())
    return {
        "people": people,
        "tracks": _tracks(clip),
        "frame_indices": list(clip.frame_indices),
        "num_frame_faces": [len(faces) for faces in clip.frames],
        "best_frame_index": clip.frame_indices[best],
    }


def _tracks(clip: ClipFaces) -> list[dict[str, Any]]:
    """Each track's frames, and the mean similarity of its faces to each person in the order of the references."""
    similarities: list[list[np.ndarray]] = [[] for _ in range(clip.num_tracks)]
    frame_indices: list[list[int]] = [[] for _ in range(clip.num_tracks)]
    for index, numbers, similarity_FP in zip(clip.frame_indices, clip.tracks, clip.similarities, strict=True):
        for number, similarity_P in zip(numbers, similarity_FP, strict=True):
            similarities[number].append(similarity_P)
            frame_indices[number].append(index)
    position = np.argsort(clip.order)
    return [
        {
            "track": number,
            "first_frame_index": frame_indices[number][0],
            "last_frame_index": frame_indices[number][-1],
            "num_frames": len(frame_indices[number]),
            "similarities": [float(s) for s in np.mean(similarities[number], axis=0)[position]],
        }
        for number in range(clip.num_tracks)
    ]


def _pool_finite(values_T: np.ndarray, pool: Callable[[np.ndarray], Any]) -> float | None:
    """None if all values are NaN."""
    finite = values_T[~np.isnan(values_T)]
    return float(pool(finite)) if len(finite) else None


def _one_minus(value: float | None) -> float | None:
    return None if value is None else 1.0 - value
