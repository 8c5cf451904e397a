"""Clips that show the reference image itself instead of a new picture of the person."""

from __future__ import annotations

from dataclasses import dataclass

from identity_reward_client.fields.warnings import ScoreWarning, WarningCode

from ..tracks.appearance import crop_change, shape_change
from ..tracks.clip_faces import ClipFaces

# A face is a copy if its aligned crop, its landmarks and its embedding all are nearly those of the reference. Measured
# medians (crop change, landmark distance, cosine) of copies: a photograph as a still video 0.27, 0.023, 0.96; a camera
# that pans over the photograph 0.15, 0.011, 0.98. Of clips made from other photographs of the person: 0.18 or more with
# a cosine of 0.88, 0.5 or more otherwise. No held-out clip has a median crop change below 0.46 or a cosine above 0.91.
MAX_CROP_CHANGE = 0.35
MAX_SHAPE_CHANGE = 0.04
MIN_COSINE = 0.93
# of all distinct frames of the clip
MIN_COPY_SHARE = 0.8


@dataclass(frozen=True)
class CopiedReference:
    # in the sample
    reference_index: int
    # of the clip's distinct frames in which the person's face is a copy of the reference's
    share: float


def copied_references(clip: ClipFaces) -> list[CopiedReference]:
    """The references that most frames repeat, by their index in the sample."""
    copies = []
    for p, reference_index in enumerate(clip.order):
        num_copies = sum(_is_copy(clip, t, int(f), p) for t, f in enumerate(clip.face_of_TP[:, p]) if f >= 0)
        share = num_copies / len(clip.frames)
        if share >= MIN_COPY_SHARE:
            copies.append(CopiedReference(reference_index, share))
    return sorted(copies, key=lambda copy: copy.reference_index)


def copy_warnings(clip: ClipFaces) -> list[ScoreWarning]:
    """One for every copied reference."""
    return [
        ScoreWarning(
            code=WarningCode.REFERENCE_COPY,
            message=f"the video repeats reference {copy.reference_index} instead of showing the person anew: its face "
            f"is a copy of the reference's in {copy.share:.0%} of the sampled frames (threshold {MIN_COPY_SHARE:.0%})",
            reference_index=copy.reference_index,
        )
        for copy in copied_references(clip)
    ]


def _is_copy(clip: ClipFaces, t: int, f: int, p: int) -> bool:
    face, reference = clip.appearances[t][f], clip.reference_appearances[p]
    return (
        clip.similarities[t][f, p] >= MIN_COSINE
        and crop_change(face, reference) <= MAX_CROP_CHANGE
        and shape_change(face, reference) <= MAX_SHAPE_CHANGE
    )
