"""Rewards of a step from the responses for its groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from identity_reward_client.errors import DeadlineExceeded, RewardError
from identity_reward_client.messages import GroupResponse, Item

from ..types import ItemError, ItemKey, StepRewards
from .sources import RewardSource

SourceResult = GroupResponse | RewardError


class NoRewards(RuntimeError):
    """No item of the step has a reward. `step` holds the errors; the next step may be submitted."""

    def __init__(self, step: StepRewards) -> None:
        counts = ", ".join(f"{count} x {code}" for code, count in step.error_counts.most_common())
        first = step.errors[0]
        super().__init__(f"no item of {len(step.keys_P)} groups has a reward: {counts}; first: {first.message}")
        self.step = step


@dataclass(frozen=True)
class GroupResults:
    """A group of `size` videos with the result of each source, by its name; without those that were too late."""

    key: str
    size: int
    results: Mapping[str, SourceResult]


def assemble(
    groups: Sequence[GroupResults],
    sources: Sequence[RewardSource],
    scoring_s: float,
    waited_s: float,
    drop_on: Set[str] = frozenset(),
) -> StepRewards:
    """The weighted sum of each item's rewards, which is missing if a reward with a weight is.

    A warning of any source with a code in `drop_on` makes the item missing, and the source's own reward of it.
    """
    shape = len(groups), max(group.size for group in groups)
    components = {source.name: np.full(shape, np.nan) for source in sources}
    details: dict[str, dict[ItemKey, Mapping[str, Any]]] = {source.name: {} for source in sources if source.details}
    fingerprints: dict[str, set[str]] = {source.name: set() for source in sources}
    errors: list[ItemError] = []
    kept_PG = np.ones(shape, bool)
    warned: set[tuple[ItemKey, str]] = set()
    for p, group in enumerate(groups):
        for source in sources:
            result = group.results.get(source.name) or DeadlineExceeded("no answer before the end of the step")
            if isinstance(result, GroupResponse):
                fingerprints[source.name].add(result.model.fingerprint)
            for g, value in enumerate(_values(result, group.size, drop_on)):
                if isinstance(value, float):
                    components[source.name][p, g] = value
                    continue
                kept_PG[p, g] &= value[0] not in drop_on
                errors.append(ItemError((group.key, g), source.name, *value))
            warned |= {((group.key, g), code) for g, code in _warnings(result)}
            if source.details and isinstance(result, GroupResponse):
                details[source.name].update({(group.key, g): value for g, value in _details(result)})
    weighted = [source for source in sources if source.weight]
    valid_PG = kept_PG & np.all([np.isfinite(components[source.name]) for source in weighted], axis=0)
    total_PG = np.sum([source.weight * components[source.name] for source in weighted], axis=0)
    return StepRewards(
        keys_P=tuple(group.key for group in groups),
        rewards_PG=np.where(valid_PG, total_PG, np.nan),
        valid_PG=valid_PG,
        components=components,
        errors=tuple(errors),
        fingerprints={name: frozenset(values) for name, values in fingerprints.items()},
        scoring_s=scoring_s,
        waited_s=waited_s,
        warning_counts=Counter(code for _, code in warned),
        details=details,
    )


def _values(result: SourceResult, size: int, drop_on: Set[str]) -> list[float | tuple[str, str]]:
    """For each item its reward, or the code and message of its error or of the warning for which it is dropped."""
    if isinstance(result, RewardError):
        return [(result.code, result.message)] * size
    values: list[float | tuple[str, str]] = []
    for item in result.items:
        if item.scored is not None:
            values.append(_reason_to_drop(item, drop_on) or float(item.scored.reward))
        else:
            assert item.error is not None  # checked by check_group
            values.append((item.error.code, item.error.message))
    return values


def _reason_to_drop(item: Item, drop_on: Set[str]) -> tuple[str, str] | None:
    """Code and message of the first warning that drops the item."""
    assert item.scored is not None
    return next(((w.code, w.message) for w in item.scored.warnings if w.code in drop_on), None)


def _warnings(result: SourceResult) -> list[tuple[int, str]]:
    """(index in the group, code) of every warning."""
    if isinstance(result, RewardError):
        return []
    scored = [(g, item.scored) for g, item in enumerate(result.items) if item.scored is not None]
    return [(g, warning.code) for g, video in scored for warning in video.warnings]


def _details(response: GroupResponse) -> list[tuple[int, Mapping[str, Any]]]:
    """(index in the group, explanation) of every scored item that has one."""
    scored = [(g, item.scored) for g, item in enumerate(response.items) if item.scored is not None]
    return [(g, video.details) for g, video in scored if video.details is not None]


def covered_s(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that are in at least one of the (begin, end) spans."""
    total, covered_until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(end - max(begin, covered_until), 0.0)
        covered_until = max(covered_until, end)
    return total
