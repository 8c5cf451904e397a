"""Answers are checked before they are passed on: a number that isn't one never reaches a caller."""

from __future__ import annotations

import math
from typing import TypeVar

from ..errors import InvalidResponse
from ..messages import CompareResponse, GroupResponse, Item, Scored, ScoreResponse
from ..wire.error_bodies import from_body

S = TypeVar("S", bound=Scored)


def check_scored(scored: S) -> S:
    if not math.isfinite(scored.reward):
        raise InvalidResponse(f"the service answered a reward of {scored.reward}")
    return scored


def check_compare(response: CompareResponse) -> CompareResponse:
    check_scored(response.a)
    check_scored(response.b)
    chances = (response.p_a_wins, response.p_tie, response.p_b_wins)
    if not all(0 <= chance <= 1 for chance in chances) or abs(sum(chances) - 1) > 1e-6:
        raise InvalidResponse(f"the service answered probabilities {chances}, which aren't any")
    return response


def check_item(item: Item) -> Item:
    if (item.scored is None) == (item.error is None):
        raise InvalidResponse(f"item {item.index} of the answer needs exactly one of scored and error")
    if item.scored is not None:
        check_scored(item.scored)
    return item


def check_group(response: GroupResponse, size: int) -> GroupResponse:
    if [item.index for item in response.items] != list(range(size)):
        raise InvalidResponse(f"the service answered {len(response.items)} items in this order for {size} videos")
    for item in response.items:
        check_item(item)
    for matrix in (response.win, response.tie):
        if matrix is not None and [len(row) for row in matrix] != [size] * size:
            raise InvalidResponse(f"a matrix of the answer isn't {size} x {size}")
    return response


def only_item(group: GroupResponse) -> ScoreResponse:
    """The answer to a group of one as that to one video; its error is raised."""
    (item,) = group.items
    if item.scored is None:
        assert item.error is not None  # check_group saw to it
        raise from_body(item.error)
    return ScoreResponse(
        **item.scored.model_dump(), request_id=group.request_id, model=group.model, timing=group.timing
    )
