"""Sources of rewards: clients with a name, a model and a weight each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from identity_reward_client.base import RewardClient


@dataclass(frozen=True)
class RewardSource:
    """One of the rewards whose weighted sum is an item's reward."""

    name: str
    # a RewardClient, or a function that creates one (called in the event loop that uses it); sources with the same
    # client share it
    client: RewardClient | Callable[[], RewardClient]
    # name of a served model; the server's default if None
    model: str | None = None
    # factor in the sum. 0: the reward is only recorded among the components, and an item is valid without it
    weight: float = 1.0
    # the answers also explain the rewards (`StepRewards.details`)
    details: bool = False


def check_sources(sources: Sequence[RewardSource]) -> tuple[RewardSource, ...]:
    """ValueError for shared names, weights that are not finite, and weights that are all 0."""
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise ValueError(f"two rewards have the same name: {', '.join(names)}")
    if not all(math.isfinite(source.weight) for source in sources):
        raise ValueError(f"weights are finite numbers, got {[source.weight for source in sources]}")
    if not any(source.weight for source in sources):
        raise ValueError("at least one reward needs a weight other than 0")
    return tuple(sources)
