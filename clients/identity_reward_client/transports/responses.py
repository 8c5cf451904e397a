"""Checks of responses. Each raises InvalidResponse, so that NaN or a response for other videos reaches no caller."""

from __future__ import annotations

import math
from typing import TypeVar

from ..errors import InvalidResponse
from ..messages import CompareResponse, GroupResponse, Item, Scored, ScoreResponse
from ..wire.error_bodies import from_body

S = TypeVar("S", bound=Scored)


def check_scored(scored: S) -> S:
    """`scored`; InvalidResponse if its reward is not finite."""
    if not math.isfinite(scored.reward):
        raise InvalidResponse(f"the service answered a reward of {scored.reward}")
    return scored


def check_compare(response: CompareResponse) -> CompareResponse:
    """`response`; InvalidResponse unless both rewards are finite and the three probabilities add up to 1."""
    check_scored(response.a)
    check_scored(response.b)
    probabilities = (response.p_a_wins, response.p_tie, response.p_b_wins)
    if not all(0 <= p <= 1 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-6:
        raise InvalidResponse(f"the service answered {probabilities} for P(A wins), P(tie) and P(B wins)")
    return response


def check_item(item: Item) -> Item:
    """`item`; InvalidResponse unless it has a finite reward or an error, and not both."""
    if (item.scored is None) == (item.error is None):
        raise InvalidResponse(f"item {item.index} of the answer needs exactly one of scored and error")
    if item.scored is not None:
        check_scored(item.scored)
    return item


def check_group(response: GroupResponse, size: int) -> GroupResponse:
    """`response`; InvalidResponse unless it has an item per video, in order, and matrices of [size, size]."""
    if [item.index for item in response.items] != list(range(size)):
        raise InvalidResponse(f"the service answered {len(response.items)} items, not one for each of {size} videos")
    for item in response.items:
        check_item(item)
    for matrix in (response.win, response.tie):
        if matrix is not None and [len(row) for row in matrix] != [size] * size:
            raise InvalidResponse(f"a matrix of the answer is not {size} x {size}")
    return response


def only_item(group: GroupResponse) -> ScoreResponse:
    """The response to a group of one video as the response to that video. Raises the item's error."""
    (item,) = group.items
    if item.scored is None:
        assert item.error is not None  # checked by check_group
        raise from_body(item.error)
    return ScoreResponse(
        **item.scored.model_dump(), request_id=group.request_id, model=group.model, timing=group.timing
    )
