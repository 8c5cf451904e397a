"""What a step of training is made of. Shapes: P groups (prompts), G videos of a group.

An item is one video, known by its group's key and its place in the group: `(key, g)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client.base import ReferencesLike, VideoLike
from identity_reward_client.fields.fps import Fps

ItemKey = tuple[str, int]


@dataclass(frozen=True, eq=False)
class RolloutGroup:
    """Finished videos, made from one prompt and one reference set."""

    # names the group within its step: whatever order the answers come in, a reward finds its video by it
    key: str
    # pictures in the order in which the prompt names the people, or the id of a stored set ("sha256:...")
    references: ReferencesLike
    # frames_GTHWC, or a list of clips [T, H, W, 3]: uint8, or `tensors.Frames` for others; not changed before collect()
    videos: Sequence[VideoLike]
    # frames a second of the clips; "compat" and files as in RewardClient
    fps: Fps | None = None
    prompt: str | None = None

    def __post_init__(self):
        if not isinstance(self.key, str) or not self.key:
            raise ValueError(f"a group's key is a name, not empty; got {self.key!r}")
        if len(self.videos) == 0:
            raise ValueError(f"group {self.key!r} has no videos")


@dataclass(frozen=True)
class ItemError:
    """Why an item has no value of one reward."""

    item: ItemKey
    reward: str  # its name
    code: str  # of identity_reward_client.errors
    message: str


@dataclass(frozen=True, eq=False)
class StepRewards:
    """What a step's items got. A reward that failed is missing, never a number: NaN where `valid_PG` is False."""

    keys_P: tuple[str, ...]  # in the order of submission
    # float64, the weighted sum of the components; G is the largest group's size, smaller ones end in missing items
    rewards_PG: np.ndarray
    # bool: every reward with a weight was answered
    valid_PG: np.ndarray
    # by reward name: float64 [P, G], unweighted, NaN where that one is missing
    components: Mapping[str, np.ndarray]
    errors: tuple[ItemError, ...]
    # by reward name: of the models that answered; more than one after a server came back with another
    fingerprints: Mapping[str, frozenset[str]]
    # seconds in which some group was being scored, and those of them in which the caller did nothing but wait
    scoring_s: float
    waited_s: float

    @property
    def error_counts(self) -> Counter[str]:
        """How many errors of each code."""
        return Counter(error.code for error in self.errors)

    @property
    def hidden_s(self) -> float:
        """Seconds of scoring behind something else that the caller did."""
        return max(self.scoring_s - self.waited_s, 0.0)

    def by_item(self) -> dict[ItemKey, float]:
        """The rewards that there are."""
        return {(self.keys_P[p], g): float(self.rewards_PG[p, g]) for p, g in np.argwhere(self.valid_PG).tolist()}
