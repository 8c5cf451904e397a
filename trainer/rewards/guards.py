"""Guards against a policy that pleases the reward model instead of improving: values logged beside the reward.

They are never part of the reward. P groups, G videos per group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from os import PathLike
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from ..types import Float64, ItemKey, RolloutGroup, StepRewards
from . import measures

GuardName = Literal["motion", "reference_similarity", "saturation", "clipped_pixels"]
_MEASURES: Mapping[str, Callable[[np.ndarray], float]] = {
    "motion": measures.motion,
    "saturation": measures.saturation,
    "clipped_pixels": measures.clipped_pixels,
}
# of details of face-tracks and arcface: the number of faces in each sampled frame
_FACES = "num_frame_faces"


@dataclass(frozen=True, eq=False)
class GuardReport:
    """Guards of one step."""

    # by name of the guard: [P, G], NaN where it could not be measured
    values: Mapping[str, Float64]
    # videos that have the very pixels of an earlier one of their group
    duplicates: tuple[ItemKey, ...]

    def means(self) -> dict[str, float]:
        """The mean of each guard over the videos that have it, without guards that none has."""
        return {name: float(np.nanmean(v)) for name, v in self.values.items() if not np.isnan(v).all()}

    def warnings(self) -> list[str]:
        """One line per group with duplicates."""
        members: dict[str, list[int]] = {}
        for key, member in self.duplicates:
            members.setdefault(key, []).append(member)
        return [
            f"group {key}: video {', '.join(map(str, copies))} repeats another of the group, pixel by pixel; does "
            "every sample have a noise of its own?"
            for key, copies in members.items()
        ]


class Guards:
    """Measures the groups of a step while they are scored: `observe` each, then `report` once.

    Args:
        names: measurements of pixels.
        faces_of: name of a reward source that sends details with the faces of each frame; None for none.
    """

    def __init__(self, names: Sequence[GuardName] = (), faces_of: str | None = None) -> None:
        self._names, self._faces_of = tuple(names), faces_of
        self._values: dict[str, list[dict[str, float]]] = {}
        self._duplicates: list[ItemKey] = []

    def observe(self, group: RolloutGroup) -> None:
        """Measures the clips of a group: uint8 arrays [T, H, W, 3]."""
        clips = [np.asarray(clip) for clip in group.videos]
        hashes = [sha256(np.ascontiguousarray(clip).data).digest() for clip in clips]
        self._duplicates += [(group.key, g) for g, digest in enumerate(hashes) if digest in hashes[:g]]
        references = _images(group.references) if "reference_similarity" in self._names else []
        self._values[group.key] = [self._measure(clip, references) for clip in clips]

    def report(self, rewards: StepRewards) -> GuardReport:
        """The report on the groups of `rewards`, in their order; what was observed is forgotten."""
        shape = rewards.rewards_PG.shape
        names = [*self._names, *(["faces"] if self._faces_of else [])]
        values = {name: np.full(shape, np.nan) for name in names}
        details = rewards.details.get(self._faces_of or "", {})
        for p, key in enumerate(rewards.keys_P):
            for g, measured in enumerate(self._values.get(key, ())):
                for name, value in measured.items():
                    values[name][p, g] = value
                if self._faces_of:
                    values["faces"][p, g] = _mean_faces(details.get((key, g)))
        report = GuardReport(values, tuple(self._duplicates))
        self._values, self._duplicates = {}, []
        return report

    def _measure(self, clip_THWC: np.ndarray, references: Sequence[np.ndarray]) -> dict[str, float]:
        measured: dict[str, float] = {name: _MEASURES[name](clip_THWC) for name in self._names if name in _MEASURES}
        if "reference_similarity" in self._names:
            measured["reference_similarity"] = measures.reference_similarity(clip_THWC, references)
        return measured


def _mean_faces(details: Mapping[str, Any] | None) -> float:
    faces = (details or {}).get(_FACES)
    return float(np.mean(faces)) if faces else float("nan")


def _images(references: Any) -> list[np.ndarray]:
    """RGB pixels of references in files and in memory."""
    return [_read(str(r)) if isinstance(r, str | PathLike) else _decode(r) for r in references]


def _decode(image: Any) -> np.ndarray:
    if isinstance(image, bytes):
        return _pixels(BytesIO(image))
    return np.asarray(image)


@lru_cache(maxsize=256)
def _read(path: str) -> np.ndarray:
    return _pixels(path)


def _pixels(file: str | BytesIO) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
