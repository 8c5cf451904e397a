"""The arguments of `identity-reward data people` that decide what is written."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from ..rendering.factory import RendererKind
from .labels import LabelKind
from .scenario import ClipSize

SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}


class PeopleError(Exception):
    """Arguments that don't go together, or a folder that can't be gone on with. One line that says what would do."""


@dataclass(frozen=True)
class Packed:
    """Frames that a model sees instead of video files: by count and size, or by the name of a frame sampling."""

    num_frames: int = 8
    height: int = 140
    width: int = 252
    sampling: str | None = None


@dataclass(frozen=True)
class Options:
    """packed None: mp4 files. splits: shares that sum to 1. photos: OpenPeople instead of rendered people."""

    pairs: int
    seed: int
    labels: LabelKind = "exact"
    splits: dict[str, float] = field(default_factory=lambda: dict(SPLITS))
    packed: Packed | None = None
    photos: bool = False
    size: ClipSize = field(default_factory=ClipSize)
    clips_per_scenario: int = 6
    pairs_per_scenario: int = 6
    renderer: RendererKind = "auto"

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise PeopleError(f"--pairs {self.pairs}: at least one pair")
        if self.clips_per_scenario < 3 or self.pairs_per_scenario < 1:
            raise PeopleError("a scenario has at least three clips (two of them originals) and one pair")
        if self.size.width % 2 or self.size.height % 2 or min(self.size.width, self.size.height) < 32:
            raise PeopleError(f"--size {self.size.width}x{self.size.height}: even sides of at least 32 pixels")
        if self.size.num_frames < 2 or not 0 < self.size.fps < math.inf:
            raise PeopleError("a clip has at least two frames and a positive number of them a second")
        if not self.splits or min(self.splits.values()) <= 0 or abs(sum(self.splits.values()) - 1) > 1e-6:
            raise PeopleError(f"--split {self.splits}: positive shares that sum to 1, such as train=0.8,test=0.2")

    @property
    def num_scenarios(self) -> int:
        return -(-self.pairs // self.pairs_per_scenario)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def share_out(shares: dict[str, float], count: int) -> list[str]:
    """Who gets each of `count` things: at any length the shares are met as nearly as whole things allow."""
    given = dict.fromkeys(shares, 0)
    order = []
    for n in range(1, count + 1):
        next_one = max(shares, key=lambda name: shares[name] * n - given[name])
        given[next_one] += 1
        order.append(next_one)
    return order


def parse_splits(text: str) -> dict[str, float]:
    """Shares from "train=0.8,dev=0.1,test=0.1"."""
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = item.strip().partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            shares[name] = math.nan
        if not name or not math.isfinite(shares[name]):
            raise PeopleError(f"--split {text!r}: {item!r} is no NAME=SHARE; say train=0.8,dev=0.1,test=0.1")
    return shares


def parse_size(text: str, option: str) -> tuple[int, int]:
    """The two numbers of "140x252"."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise PeopleError(f"{option} {text!r}: two sides in pixels, such as 140x252")
    return cast(tuple[int, int], tuple(int(part) for part in parts))
