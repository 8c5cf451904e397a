"""From the answers to a step's groups to its rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client.base import RewardClient
from identity_reward_client.errors import DeadlineExceeded, RewardError
from identity_reward_client.messages import GroupResponse

from .types import ItemError, StepRewards

Outcome = GroupResponse | RewardError


class NoRewards(RuntimeError):
    """No item of the step has a reward. `step` holds the errors; the next step may be submitted."""

    def __init__(self, step: StepRewards):
        counts = ", ".join(f"{count} x {code}" for code, count in step.error_counts.most_common())
        first = step.errors[0]
        super().__init__(f"no item of {len(step.keys_P)} groups has a reward: {counts}; first: {first.message}")
        self.step = step


@dataclass(frozen=True)
class RewardSource:
    """One reward of every item: who gives it, and its share in the sum."""

    name: str
    # a RewardClient, or what makes one (called in the loop that uses it); sources that name the same one share it
    client: RewardClient | Callable[[], RewardClient]
    model: str | None = None
    # 0: logged among the components, and an item is valid without it
    weight: float = 1.0


@dataclass(frozen=True)
class Answered:
    """A group, with what each source answered before the step was over: by source name, none where nothing came."""

    key: str
    size: int
    outcomes: Mapping[str, Outcome]


def check_sources(sources: Sequence[RewardSource]) -> tuple[RewardSource, ...]:
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise ValueError(f"two rewards have the same name: {', '.join(names)}")
    if not all(math.isfinite(source.weight) for source in sources):
        raise ValueError(f"weights are finite numbers, got {[source.weight for source in sources]}")
    if not any(source.weight for source in sources):
        raise ValueError("at least one reward needs a weight other than 0")
    return tuple(sources)


def assemble(
    groups: Sequence[Answered], sources: Sequence[RewardSource], scoring_s: float, waited_s: float
) -> StepRewards:
    shape = len(groups), max(group.size for group in groups)
    components = {source.name: np.full(shape, np.nan) for source in sources}
    fingerprints: dict[str, set[str]] = {source.name: set() for source in sources}
    errors: list[ItemError] = []
    for p, group in enumerate(groups):
        for source in sources:
            outcome = group.outcomes.get(source.name) or DeadlineExceeded("not answered before the step was over")
            if isinstance(outcome, GroupResponse):
                fingerprints[source.name].add(outcome.model.fingerprint)
            for g, value in enumerate(_values(outcome, group.size)):
                if isinstance(value, float):
                    components[source.name][p, g] = value
                else:
                    errors.append(ItemError((group.key, g), source.name, *value))
    needed = [source for source in sources if source.weight]
    valid_PG = np.all([np.isfinite(components[source.name]) for source in needed], axis=0)
    total_PG = np.sum([source.weight * components[source.name] for source in needed], axis=0)
    return StepRewards(
        keys_P=tuple(group.key for group in groups),
        rewards_PG=np.where(valid_PG, total_PG, np.nan),
        valid_PG=valid_PG,
        components=components,
        errors=tuple(errors),
        fingerprints={name: frozenset(found) for name, found in fingerprints.items()},
        scoring_s=scoring_s,
        waited_s=waited_s,
    )


def _values(outcome: Outcome, size: int) -> list[float | tuple[str, str]]:
    """For each item a reward, or the code and message of what kept it from having one."""
    if isinstance(outcome, RewardError):
        return [(outcome.code, outcome.message)] * size
    values: list[float | tuple[str, str]] = []
    for item in outcome.items:
        if item.scored is not None:
            values.append(float(item.scored.reward))
        else:
            assert item.error is not None  # check_group saw to it
            values.append((item.error.code, item.error.message))
    return values


def covered_s(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that at least one of the (begin, end) spans covers."""
    total, reached = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return total
