"""Clips that show the reference image itself instead of a new picture of the person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client.fields.warnings import ScoreWarning, WarningCode

from ..tracks.features import FRAME_FEATURES, ClipFeatures
from ..tracks.identity_terms import COPY_SHARES

# of the clip's distinct frames, each weighted by how far its face is a copy; the reward falls from this share on
MIN_COPY_SHARE = COPY_SHARES[0]
_COPY = list(FRAME_FEATURES).index("copy")


@dataclass(frozen=True)
class CopiedReference:
    # in the sample
    reference_index: int
    # of the clip's distinct frames in which the person's face is a copy of the reference's
    share: float


def copied_references(order: Sequence[int], features: ClipFeatures) -> list[CopiedReference]:
    """The references that more than MIN_COPY_SHARE of the frames repeat, by their index in the sample.

    order: for each person of the features the index of the reference.
    """
    shares_P = np.nan_to_num(features.frames_PTF[..., _COPY], nan=0.0).mean(1)
    copies = [
        CopiedReference(index, float(share))
        for index, share in zip(order, shares_P, strict=True)
        if share > MIN_COPY_SHARE
    ]
    return sorted(copies, key=lambda copy: copy.reference_index)


def copy_warnings(order: Sequence[int], features: ClipFeatures) -> list[ScoreWarning]:
    """One for every copied reference."""
    return [
        ScoreWarning(
            code=WarningCode.REFERENCE_COPY,
            message=f"the video repeats reference {copy.reference_index} instead of showing the person anew: its face "
            f"is a copy of the reference's in {copy.share:.0%} of the sampled frames (threshold {MIN_COPY_SHARE:.0%})",
            reference_index=copy.reference_index,
        )
        for copy in copied_references(order, features)
    ]
