"""References that show one person twice, or whose face may not be the one that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from identity_reward_client.fields.warnings import ScoreWarning, WarningCode

from ..recognition.face import Face
from ..recognition.matching import cosines
from ..recognition.reference_faces import ReferenceFace
from ..tracks.appearance import pose
from ..tracks.linking import side_px

# Cosine of two references' embeddings (SFace) from which they count as one person. Of 1,620 pairs of images of
# different people (60 images of OpenPeople) the highest has 0.71, of the 171 pairs of the held-out rendered people
# 0.76. The same photograph mirrored, at half its size or as JPEG of quality 20 has 0.95 or more. Two photographs of one
# person have 0.73 in the median (150 pairs), so that most of these stay unnoticed: a false warning is worse.
SAME_PERSON_COSINE = 0.8
# the detector's scores are 0.91 or more on 60 upright images of photographed people, 0.87 or more on the 19 references
# of the held-out rendered people
MIN_DETECTOR_SCORE = 0.85
# the network's input has 112; see people.MIN_FACE_SIDE_PX
MIN_REFERENCE_SIDE_PX = 40
# offset of the nose in distances between the eyes: about 40 degrees; at most 0.29 on the 79 images above, without one
# profile (0.74)
MAX_YAW = 0.4


def reference_warnings(references: Sequence[ReferenceFace]) -> list[ScoreWarning]:
    """References in the order of the sample."""
    return [*_duplicates(references), *_uncertain_faces(references)]


def _duplicates(references: Sequence[ReferenceFace]) -> list[ScoreWarning]:
    embeddings_PD = np.stack([reference.face.embedding_D for reference in references])
    cosine_PP = cosines(embeddings_PD, embeddings_PD)
    return [
        ScoreWarning(
            code=WarningCode.DUPLICATE_REFERENCES,
            message=f"references {p} and {q} seem to show the same person: the cosine similarity of their faces is "
            f"{cosine_PP[p, q]:.2f} (threshold {SAME_PERSON_COSINE:.2f})",
            reference_index=q,
        )
        for p, q in combinations(range(len(references)), 2)
        if cosine_PP[p, q] >= SAME_PERSON_COSINE
    ]


def _uncertain_faces(references: Sequence[ReferenceFace]) -> list[ScoreWarning]:
    warnings = []
    for p, reference in enumerate(references):
        if reasons := _reasons(reference):
            message = (
                f"the face of reference {p} is uncertain: the one {_place(reference.face)} was taken, and "
                f"{', and '.join(reasons)}"
            )
            warnings.append(ScoreWarning(code=WarningCode.UNCERTAIN_REFERENCE_FACE, message=message, reference_index=p))
    return warnings


def _reasons(reference: ReferenceFace) -> list[str]:
    face = reference.face
    yaw = abs(pose(face.landmarks_52.astype(np.float64))[0])
    reasons = []
    if reference.num_faces > 1:
        reasons.append(f"it is the largest of {reference.num_faces} faces, where 1 is expected")
    if face.score < MIN_DETECTOR_SCORE:
        reasons.append(f"its detector score is {face.score:.2f}, below {MIN_DETECTOR_SCORE:.2f}")
    if side_px(face) < MIN_REFERENCE_SIDE_PX:
        reasons.append(f"its side has {side_px(face):.0f} pixels, below {MIN_REFERENCE_SIDE_PX}")
    if yaw > MAX_YAW:
        reasons.append(f"it is turned away: its nose is off by {yaw:.2f} eye distances, above {MAX_YAW:.2f}")
    if reference.rotation_degrees:
        reasons.append(
            f"the image shows a face more clearly when it is rotated by {reference.rotation_degrees} degrees clockwise"
        )
    return reasons


def _place(face: Face) -> str:
    x, y, width, height = face.box_xywh
    return f"of {width:.0f} x {height:.0f} pixels around ({x + width / 2:.0f}, {y + height / 2:.0f})"
