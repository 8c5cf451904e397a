"""Groups and rewards of a training step. Shapes: P groups (prompts), G videos per group.

An item is one video; its key is `(key of its group, index in the group)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from identity_reward_client.base import ReferencesLike, VideoLike
from identity_reward_client.fields.fps import Fps

from .prompts import Prompt

ItemKey = tuple[str, int]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RolloutGroup:
    """Videos that were generated from one prompt and one reference set. ValueError for an empty key or no videos."""

    # unique in its step
    key: str
    # images in the order in which the prompt names the people, or the id of a stored set ("sha256:...")
    references: ReferencesLike
    # frames_GTHWC, or a list of clips [T, H, W, 3]: uint8, or `Frames` for other types. They must not change before
    # collect() returns
    videos: Sequence[VideoLike]
    # frames per second of the clips, see ScoreOptions
    fps: Fps | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not self.key:
            raise ValueError(f"a group's key is a str, not empty; got {self.key!r}")
        if len(self.videos) == 0:
            raise ValueError(f"group {self.key!r} has no videos")


@dataclass(frozen=True)
class ItemError:
    """The error for which an item has no value of one reward."""

    item: ItemKey
    reward: str  # name of the source
    code: str  # see identity_reward_client.errors; that of a warning for an item that was dropped for it
    message: str


@dataclass(frozen=True, eq=False)
class StepRewards:
    """Rewards of a step. A reward that failed is missing: NaN, with `valid_PG` False, never another number."""

    # keys of the groups, in the order of submission
    keys_P: tuple[str, ...]
    # weighted sum of the components; G is the size of the largest group, and the rows of smaller ones end in NaN
    rewards_PG: Float64
    # True for an item that has every reward with a weight
    valid_PG: NDArray[np.bool_]
    # by name of the source: [P, G], without its weight, NaN for missing ones
    components: Mapping[str, Float64]
    errors: tuple[ItemError, ...]
    # by name of the source: of the models that scored the step; several if a server restarted with another model
    fingerprints: Mapping[str, frozenset[str]]
    # seconds in which at least one group was being scored
    scoring_s: float
    # seconds that `submit` and `collect` waited
    waited_s: float
    # number of items by code of a warning of theirs, whether they were dropped for it or not
    warning_counts: Counter[str] = field(default_factory=Counter)

    @property
    def error_counts(self) -> Counter[str]:
        """Number of errors by code, those of dropped items among them."""
        return Counter(error.code for error in self.errors)

    @property
    def hidden_s(self) -> float:
        """Seconds of scoring in which the caller did something else."""
        return max(self.scoring_s - self.waited_s, 0.0)

    def by_item(self) -> dict[ItemKey, float]:
        """The valid rewards, by key of the item."""
        return {(self.keys_P[p], g): float(self.rewards_PG[p, g]) for p, g in np.argwhere(self.valid_PG).tolist()}


@dataclass(frozen=True, eq=False)
class ScoredGroup:
    """A group of a step with its rewards, for guards and reports."""

    prompt: Prompt
    # uint8 RGB frames_THWC of each member
    clips: Sequence[NDArray[np.uint8]]
    fps: Fps
    # weighted sum of the components; NaN for an item that lacks one
    rewards_G: Float64
    # by name of the source: [G], without its weight, NaN for missing ones
    components: Mapping[str, Float64]
