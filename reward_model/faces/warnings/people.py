"""People who are hardly seen in the clip, or whose faces are small there.

Suffixes: T sampled frames, P people in the order of the references.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from identity_reward_client.fields.warnings import ScoreWarning, WarningCode

from ..recognition.face import Face
from ..tracks.linking import side_px

# share of the sampled frames: in fewer, more than half of what a mean over frames says is absence, not likeness
MIN_COVERAGE = 0.5
# side of the face's box. The network's input has 112: shrunken copies of a real clip keep their similarity to the
# reference down to 40 pixels (0.70, 0.73 at full size) and lose it below (0.60 at 32, 0.51 at 26)
MIN_FACE_SIDE_PX = 40


def face_sides_px(frames: Sequence[Sequence[Face]], face_of_TP: np.ndarray) -> np.ndarray:
    """[T, P] float64 side of each person's face, NaN where absent; face_of_TP: its index in the frame or -1."""
    side_TP = np.full(face_of_TP.shape, np.nan)
    for t, p in np.argwhere(face_of_TP >= 0):
        side_TP[t, p] = side_px(frames[t][face_of_TP[t, p]])
    return side_TP


def people_warnings(side_px_TP: np.ndarray) -> list[ScoreWarning]:
    """From the sides of `face_sides_px`."""
    return [warning for p, side_px_T in enumerate(side_px_TP.T) for warning in _person_warnings(p, side_px_T)]


def _person_warnings(p: int, side_px_T: np.ndarray) -> list[ScoreWarning]:
    warnings = []
    seen = side_px_T[~np.isnan(side_px_T)]
    coverage = len(seen) / len(side_px_T)
    if coverage < MIN_COVERAGE:
        message = (
            f"the person of reference {p} was found in {len(seen)} of {len(side_px_T)} sampled frames "
            f"({coverage:.0%}), below {MIN_COVERAGE:.0%}"
        )
        warnings.append(ScoreWarning(code=WarningCode.PERSON_RARELY_SEEN, message=message, reference_index=p))
    if len(seen) and np.median(seen) < MIN_FACE_SIDE_PX:
        message = (
            f"the face of the person of reference {p} is small in the video: its median side is "
            f"{np.median(seen):.0f} pixels, below {MIN_FACE_SIDE_PX}"
        )
        warnings.append(ScoreWarning(code=WarningCode.LOW_FACE_RESOLUTION, message=message, reference_index=p))
    return warnings
