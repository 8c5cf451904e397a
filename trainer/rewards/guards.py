"""Guards against a policy that pleases the reward model instead of improving: values logged beside the reward.

They are never part of the reward. Each has the methods of `trainer.run.hooks.Guard`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..prompts.references import read_upright
from ..types import ScoredGroup
from . import measures
from .config import MeasureName

log = logging.getLogger("identity_reward.trainer")
_MEASURES: Mapping[str, Callable[[np.ndarray], float]] = {
    "motion": measures.motion,
    "saturation": measures.saturation,
    "clipped_pixels": measures.clipped_pixels,
}


class PixelGuard:
    """Logs measurements of pixels as means over the videos of a group."""

    def __init__(self, names: Sequence[MeasureName]) -> None:
        self._names = tuple(names)

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """By name; without what no video of the group has."""
        values = {name: [_MEASURES[name](clip) for clip in group.clips] for name in self._names if name in _MEASURES}
        if "reference_similarity" in self._names:
            references = [read_image(path) for path in group.prompt.references]
            values["reference_similarity"] = [measures.reference_similarity(clip, references) for clip in group.clips]
        return {name: float(np.nanmean(v)) for name, v in values.items() if not np.isnan(v).all()}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Never stops."""


class FaceGuard:
    """Logs the number of faces in a frame, as the details of a reward source count them (face-tracks and arcface do).

    A number above that of the references means people who were not asked for.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """`faces`: the mean over sampled frames and videos; nothing without details."""
        counts = [entry.get("num_frame_faces") for entry in group.details.get(self._source, {}).values()]
        means = [np.mean(faces) for faces in counts if faces]
        return {"faces": float(np.mean(means))} if means else {}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Never stops."""


class DuplicateGuard:
    """Reports videos that have the very pixels of another of their group: their noise was not their own."""

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """`duplicates`: videos of the group that repeat an earlier one."""
        copies = [g for g, clip in enumerate(group.clips) if any(_same(clip, other) for other in group.clips[:g])]
        if copies:
            log.warning(
                "group of prompt %s: video %s repeats another of the group, pixel by pixel",
                group.prompt.key, ", ".join(map(str, copies)),
            )  # fmt: skip
        return {"duplicates": float(len(copies))}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Never stops."""


def _same(clip: np.ndarray, other: np.ndarray) -> bool:
    """Whether all pixels are equal; other clips differ in their first frame already."""
    return clip.shape == other.shape and np.array_equal(clip[0], other[0]) and np.array_equal(clip, other)


@lru_cache(maxsize=256)
def read_image(path: Path) -> np.ndarray:
    """RGB pixels of an upright image: uint8 [H, W, 3]. Not to be written to."""
    return np.asarray(read_upright(path))
