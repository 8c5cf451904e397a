"""Options of `identity-reward data people` that decide what is written."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ..scenes.renderer import RendererKind
from .labels import LabelKind
from .scenario import ClipSize

# the file of a data set that stores its options
WORLD = "world.json"
SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}
MIN_SIDE_PX = 32


class PeopleError(Exception):
    """Options that do not go together, or a folder that cannot be resumed. The message is one line with the remedy."""


@dataclass(frozen=True)
class PackedOptions:
    """Frames to store instead of video files: by count and size in pixels, or by the name of a frame sampling."""

    num_frames: int = 8
    height: int = 140
    width: int = 252
    sampling: str | None = None


@dataclass(frozen=True)
class PeopleOptions:
    """Validated on construction: PeopleError for incompatible values. The field names are stored in `world.json`."""

    pairs: int
    seed: int
    labels: LabelKind = "exact"
    # shares that sum to 1
    splits: dict[str, float] = field(default_factory=lambda: dict(SPLITS))
    # None: mp4 files
    packed: PackedOptions | None = None
    # True: photographs of OpenPeople instead of rendered people
    photos: bool = False
    size: ClipSize = field(default_factory=ClipSize)
    clips_per_scenario: int = 6
    pairs_per_scenario: int = 6
    renderer: RendererKind = "auto"
    # True: every clip is filmed with random nuisances of its own (`scenes.nuisances`)
    nuisances: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise PeopleError(f"--pairs {self.pairs}: at least one pair")
        if self.clips_per_scenario < 3 or self.pairs_per_scenario < 1:
            raise PeopleError("a scenario has at least three clips (two of them originals) and one pair")
        if self.size.width % 2 or self.size.height % 2 or min(self.size.width, self.size.height) < MIN_SIDE_PX:
            raise PeopleError(
                f"--size {self.size.width}x{self.size.height}: even sides of at least {MIN_SIDE_PX} pixels"
            )
        if self.size.num_frames < 2 or not 0 < self.size.fps < math.inf:
            raise PeopleError("a clip has at least two frames and a positive number of frames per second")
        if not self.splits or min(self.splits.values()) <= 0 or abs(sum(self.splits.values()) - 1) > 1e-6:
            raise PeopleError(f"--split {self.splits}: positive shares that sum to 1, such as train=0.8,test=0.2")

    @property
    def num_scenarios(self) -> int:
        return -(-self.pairs // self.pairs_per_scenario)

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        # folders of versions without this option go on
        if not self.nuisances:
            del values["nuisances"]
        return values


def assign_by_shares(shares: dict[str, float], count: int) -> list[str]:
    """A name for each of `count` items, such that every prefix meets the shares as nearly as whole items allow."""
    assigned = dict.fromkeys(shares, 0)
    order = []
    for n in range(1, count + 1):
        most_behind = max(shares, key=lambda name: shares[name] * n - assigned[name])
        assigned[most_behind] += 1
        order.append(most_behind)
    return order


def parse_splits(text: str) -> dict[str, float]:
    """Shares from "train=0.8,dev=0.1,test=0.1". PeopleError for anything else."""
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
    """The two numbers of "140x252". PeopleError, which names `option`, for anything else."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise PeopleError(f"{option} {text!r}: two sides in pixels, such as 140x252")
    return int(parts[0]), int(parts[1])
