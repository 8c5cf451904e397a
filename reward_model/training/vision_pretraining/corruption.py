"""Windows harmed anew: of a rendered world's heads few are, and a tower is to see it in any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reward_model.data.corruption_kinds import CORRUPTION_KINDS, resolution_share
from reward_model.data.people.scenes.degradation import damage_face, lower_resolution

from .ground_truth import HARM, Head, harm_code

KINDS = ("blur", "warp", "detail")


def harm(
    frames_THWC: np.ndarray, heads: Sequence[Head], source_scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Head, ...]]:
    """One head blurred or warped, or detail of the whole window lost, as severely as in clips that fail so, and codes
    that tell of it. `source_scale`: pixels of a clip's side to one of these frames. Where a head is harmed already,
    all stays as it is."""
    if any(head.code[HARM].any() for head in heads):
        return frames_THWC, tuple(heads)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind == "detail":
        share = resolution_share(rng.uniform(CORRUPTION_KINDS["resolution"].min_severity, 1))
        frames = [lower_resolution(frame, share * source_scale) for frame in frames_THWC]
        return np.stack(frames), tuple(_told(head, detail=share) for head in heads)
    number = int(rng.integers(len(heads)))
    strength = float(rng.uniform(CORRUPTION_KINDS["face-damage"].min_severity, 1))
    height, width = frames_THWC.shape[1:3]
    x0, y0, x1, y1 = (heads[number].box * np.tile([width, height], 2)).tolist()
    frames = [damage_face(frame, (x0, y0, x1, y1), kind, strength) for frame in frames_THWC]  # type: ignore[arg-type]
    told = _told(heads[number], **{kind: strength})
    return np.stack(frames), (*heads[:number], told, *heads[number + 1 :])


def _told(head: Head, blur: float = 0.0, warp: float = 0.0, detail: float = 1.0) -> Head:
    code = head.code.copy()
    code[HARM] = harm_code(blur, warp, detail)
    return replace(head, code=code)
