"""What `face-tracks` says beside its reward: JSON types only, people in the order of the references."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..recognition.matching import absent_as_zero
from .clip_faces import ClipFaces
from .features import FRAME_FEATURES, ClipFeatures


def track_details(clip: ClipFaces, features: ClipFeatures) -> dict[str, Any]:
    """`people`: per reference what its face did (null where absent); `tracks`: every face that stayed in the clip.

    Similarities are cosines; an absent person counts as 0 in `similarity`. `double`, `drift` and `stillness` are of
    what the head sees: the most that nobody's face is like the person, 1 less the person's least similarity to their
    own first frames, and 1 less the usual change of the aligned face from frame to frame.
    """
    named = dict(zip(FRAME_FEATURES, np.moveaxis(features.frames_PTF.astype(np.float64), -1, 0), strict=True))
    people: list[dict[str, Any]] = [{} for _ in clip.order]
    for p, reference_index in enumerate(clip.order):
        similarity_T = named["similarity"][p]
        face_of_T = clip.face_of_TP[:, p]
        people[reference_index] = {
            "reference_index": reference_index,
            "similarity": float(absent_as_zero(similarity_T).mean()),
            "coverage": float((face_of_T >= 0).mean()),
            "frame_similarities": [None if np.isnan(s) else float(s) for s in similarity_T],
            "frame_tracks": [None if f < 0 else numbers[f] for f, numbers in zip(face_of_T, clip.tracks, strict=True)],
            "margin": _of_known(named["margin_references"][p], np.mean),
            "double": _of_known(named["double"][p], np.max),
            "drift": _one_less(_of_known(named["first_similarity"][p], np.min)),
            "stillness": _one_less(_of_known(named["crop_previous"][p], np.median)),
            "num_reference_faces": clip.references[p].num_faces,
        }
    by_frame = np.array([person["frame_similarities"] for person in people], float)
    best = int(absent_as_zero(by_frame).mean(0).argmax())
    return {
        "people": people,
        "tracks": _tracks(clip),
        "frame_indices": list(clip.frame_indices),
        "num_frame_faces": [len(faces) for faces in clip.frames],
        "best_frame_index": clip.frame_indices[best],
    }


def _tracks(clip: ClipFaces) -> list[dict[str, Any]]:
    """Each track's frames and, in the order of the references, how alike its faces are to each on average."""
    similarities: list[list[np.ndarray]] = [[] for _ in range(clip.num_tracks)]
    seen: list[list[int]] = [[] for _ in range(clip.num_tracks)]
    for index, numbers, similarity_FP in zip(clip.frame_indices, clip.tracks, clip.similarities, strict=True):
        for number, similarity_P in zip(numbers, similarity_FP, strict=True):
            similarities[number].append(similarity_P)
            seen[number].append(index)
    place = np.argsort(clip.order)
    return [
        {
            "track": number,
            "first_frame_index": seen[number][0],
            "last_frame_index": seen[number][-1],
            "num_frames": len(seen[number]),
            "similarities": [float(s) for s in np.mean(similarities[number], axis=0)[place]],
        }
        for number in range(clip.num_tracks)
    ]


def _of_known(values_T: np.ndarray, pool) -> float | None:
    known = values_T[~np.isnan(values_T)]
    return float(pool(known)) if len(known) else None


def _one_less(value: float | None) -> float | None:
    return None if value is None else 1.0 - value
