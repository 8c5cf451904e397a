"""Warnings of a scored video: reasons to doubt its reward, which stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import ConfigDict, Field

from .bases import ResponseMessage


class WarningCode(StrEnum):
    """Codes of this version. A newer server may send others, so `ScoreWarning.code` is any string."""

    REFERENCE_COPY = "reference_copy"
    STILL_VIDEO = "still_video"
    DUPLICATE_REFERENCES = "duplicate_references"
    UNCERTAIN_REFERENCE_FACE = "uncertain_reference_face"
    PERSON_RARELY_SEEN = "person_rarely_seen"
    LOW_FACE_RESOLUTION = "low_face_resolution"
    FRAME_RATE_ASSUMED = "frame_rate_assumed"
    SHORT_CLIP = "short_clip"


class ScoreWarning(ResponseMessage):
    """A reason to doubt a reward. It does not change the reward."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(
        description=f"one of {', '.join(f'`{code}`' for code in WarningCode)}; newer servers may send others"
    )
    message: str = Field(description="one sentence with the measured value and the threshold")
    reference_index: int | None = Field(
        default=None, description="the reference that it is about, counted from 0; null for the whole video"
    )


def check_codes(codes: Iterable[str]) -> frozenset[WarningCode]:
    """ValueError, which lists the codes, for one that is not among them."""
    names = (codes,) if isinstance(codes, str) else tuple(codes)
    for name in names:
        if name not in tuple(WarningCode):
            raise ValueError(f"no warning has the code {name!r}; there are {', '.join(WarningCode)}")
    return frozenset(map(WarningCode, names))
