"""Random corruption of windows, because only few faces of a rendered data set are corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reward_model.data.corruption_kinds import CORRUPTION_KINDS, resolution_share
from reward_model.data.people.scenes.degradation import damage_face, lower_resolution

from ..supervision.ground_truth import CORRUPTION, RenderedFace, corruption_code

KINDS = ("blur", "warp", "detail")


def corrupt(
    frames_THWC: np.ndarray, faces: Sequence[RenderedFace], source_scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[RenderedFace, ...]]:
    """Blurs or warps one face, or lowers the detail of the whole window, and sets the codes of the faces.

    Severities are those of corrupted clips. `source_scale` is the height of a clip's frames over that of the frames
    that the window was cut from. A window with a corrupted face is returned unchanged.
    """
    if any(face.code[CORRUPTION].any() for face in faces):
        return frames_THWC, tuple(faces)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind == "detail":
        share = resolution_share(rng.uniform(CORRUPTION_KINDS["resolution"].min_severity, 1))
        frames = [lower_resolution(frame, share * source_scale) for frame in frames_THWC]
        return np.stack(frames), tuple(_with_code(face, resolution=share) for face in faces)
    number = int(rng.integers(len(faces)))
    strength = float(rng.uniform(CORRUPTION_KINDS["face-damage"].min_severity, 1))
    height, width = frames_THWC.shape[1:3]
    x0, y0, x1, y1 = (faces[number].box * np.tile([width, height], 2)).tolist()
    frames = [damage_face(frame, (x0, y0, x1, y1), kind, strength) for frame in frames_THWC]  # type: ignore[arg-type]
    corrupted = _with_code(faces[number], **{kind: strength})
    return np.stack(frames), (*faces[:number], corrupted, *faces[number + 1 :])


def _with_code(face: RenderedFace, blur: float = 0.0, warp: float = 0.0, resolution: float = 1.0) -> RenderedFace:
    code = face.code.copy()
    code[CORRUPTION] = corruption_code(blur, warp, resolution)
    return replace(face, code=code)
