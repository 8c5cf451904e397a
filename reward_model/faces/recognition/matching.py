"""Assignment of faces to people, one face per person, by the largest sum of similarities; summaries over a clip.

Suffixes: F faces of a frame, P people of the references, T frames, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment


def cosines(faces_FD: np.ndarray, references_PD: np.ndarray) -> np.ndarray:
    """[F, P] float64 cosine similarities in [-1, 1] of rows of length 1.

    Summed row by row: the last bits of a matrix product would depend on the number of other faces.
    """
    products_FPD = faces_FD.astype(np.float64)[:, None] * references_PD.astype(np.float64)[None]
    return np.clip(products_FPD.sum(-1), -1.0, 1.0)


def match(similarity_FP: np.ndarray) -> np.ndarray:
    """[P] int: the face of each person, -1 for people without one (fewer faces than people)."""
    face_of_P = np.full(similarity_FP.shape[1], -1)
    faces, people = linear_sum_assignment(similarity_FP, maximize=True)
    face_of_P[people] = faces
    return face_of_P


def match_frames(frames: Sequence[np.ndarray], references_PD: np.ndarray) -> np.ndarray:
    """[T, P] similarity of each person's matched face, NaN where absent; frames: the embeddings [F, D] of each."""
    similarity_TP = np.full((len(frames), len(references_PD)), np.nan)
    for t, faces_FD in enumerate(frames):
        if len(faces_FD):
            similarity_FP = cosines(faces_FD, references_PD)
            face_of_P = match(similarity_FP)
            present = face_of_P >= 0
            similarity_TP[t, present] = similarity_FP[face_of_P[present], present.nonzero()[0]]
    return similarity_TP


def assign_frames(frames: Sequence[np.ndarray], references_PD: np.ndarray) -> np.ndarray:
    """[T, P] int: the face of each person that `match_frames` compares, -1 where absent."""
    nobody_P = np.full(len(references_PD), -1)
    return np.stack([match(cosines(faces_FD, references_PD)) if len(faces_FD) else nobody_P for faces_FD in frames])


def absent_as_zero(similarity_TP: np.ndarray) -> np.ndarray:
    """NaN replaced by 0."""
    return np.where(np.isnan(similarity_TP), 0.0, similarity_TP)


def mean(similarity_TP: np.ndarray) -> float:
    """Mean over frames, then over people."""
    return float(absent_as_zero(similarity_TP).mean(0).mean())


def minimum(similarity_TP: np.ndarray) -> float:
    """The worst person's mean over frames."""
    return float(absent_as_zero(similarity_TP).mean(0).min())


def best_frame(similarity_TP: np.ndarray) -> float:
    """The best frame's mean over people."""
    return float(absent_as_zero(similarity_TP).mean(1).max())


# summaries of a clip's similarities [T, P] as one number
VARIANTS = {"mean": mean, "minimum": minimum, "best_frame": best_frame}
