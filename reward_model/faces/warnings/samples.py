"""All warnings of one sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from identity_reward_client.fields.warnings import ScoreWarning
from reward_model.types import Video

from ..recognition.face import Face
from ..recognition.reference_faces import ReferenceFace
from ..tracks.clip_faces import ClipFaces
from ..tracks.features import ClipFeatures
from .copied_references import copy_warnings
from .people import face_sides_px, people_warnings
from .references import reference_warnings
from .still_videos import still_video_warnings


def face_warnings(
    references: Sequence[ReferenceFace], frames: Sequence[Sequence[Face]], face_of_TP: np.ndarray, video: Video
) -> tuple[ScoreWarning, ...]:
    """Warnings that need faces and pixels only.

    face_of_TP [T, P] int: the index of each person's face in each element of `frames`, -1 for none; people in the order
    of `references`.
    """
    return (
        *still_video_warnings(video),
        *reference_warnings(references),
        *people_warnings(face_sides_px(frames, face_of_TP)),
    )


def track_warnings(clip: ClipFaces, features: ClipFeatures, video: Video) -> tuple[ScoreWarning, ...]:
    """Those of `face_warnings` and copied references, which need the features of the clip."""
    by_reference = np.argsort(clip.order)
    references = [clip.references[p] for p in by_reference]
    warnings = face_warnings(references, clip.frames, clip.face_of_TP[:, by_reference], video)
    return (*copy_warnings(clip.order, features), *warnings)
