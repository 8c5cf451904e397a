"""Outcomes to answers, and the limits that a request must keep. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from identity_reward_client.errors import InvalidRequest, LimitExceeded, RewardError
from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    Scored,
    Timing,
)
from identity_reward_client.preference import matrices, probabilities, verdict

from ..errors import body
from ..scheduling.call import Call
from .pipeline import Answer
from .served_model import ServedModel

MAX_THETA = 1e6


def check_theta(theta: float) -> None:
    if theta > MAX_THETA:
        raise InvalidRequest(f"theta must be above 1 and at most {MAX_THETA:g}, got {theta:g}")


def check_limit(what: str, given: int, name: str, maximum: int) -> None:
    if given > maximum:
        details = {"limit": name, "maximum": maximum}
        raise LimitExceeded(f"{given} {what}; at most {maximum} are taken", details=details)


def check_references(count: int, allowed: int) -> None:
    check_limit("references", count, "max_references", allowed)


def scored_or_raise(outcome: Answer, **details: str) -> Scored:
    if isinstance(outcome, RewardError):
        outcome.details.update(details)
        raise outcome
    return outcome


def item(index: int, outcome: Answer) -> Item:
    if isinstance(outcome, Scored):
        return Item(index=index, scored=outcome)
    return Item(index=index, error=body(outcome))


def compared(
    request: CompareRequest, call: Call, model: ServedModel, a: Scored, b: Scored, timing: Timing
) -> CompareResponse:
    difference = model.scorer.info.preference_scale * (a.reward - b.reward)
    p_a_wins, p_tie, p_b_wins = (float(p) for p in probabilities(difference, request.theta))
    return CompareResponse(
        request_id=call.request_id, model=model.stamp, a=a, b=b, theta=request.theta, p_a_wins=p_a_wins,
        p_tie=p_tie, p_b_wins=p_b_wins, verdict=verdict(difference, request.theta), timing=timing,
    )  # fmt: skip


def grouped(
    request: GroupRequest, call: Call, model: ServedModel, outcomes: Sequence[Answer], timing: Timing
) -> GroupResponse:
    win = tie = None
    if request.matrices:
        rewards_G = [out.reward if isinstance(out, Scored) else np.nan for out in outcomes]
        scaled_G = model.scorer.info.preference_scale * np.asarray(rewards_G)
        win, tie = (
            [[None if np.isnan(p) else float(p) for p in row] for row in matrix]
            for matrix in matrices(scaled_G, request.theta)
        )
    return GroupResponse(
        request_id=call.request_id, model=model.stamp, theta=request.theta, win=win, tie=tie, timing=timing,
        items=[item(i, out) for i, out in enumerate(outcomes)],
    )  # fmt: skip
