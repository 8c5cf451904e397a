"""Response messages from item results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    RequestBase,
    Scored,
    ScoreRequest,
    ScoreResponse,
    Timing,
)
from identity_reward_client.preference import matrices, probabilities, verdict
from identity_reward_client.wire.error_bodies import to_body

from ..scheduling.call import Call
from ..scheduling.item_result import ItemResult
from .served_model import ServedModel


@dataclass(frozen=True)
class ScoredVideos:
    """Results of a request's videos, in its order, with the other fields of its response."""

    call: Call
    model: ServedModel
    results: Sequence[ItemResult]
    timing: Timing


def score_response(request: ScoreRequest, scored: ScoredVideos) -> ScoreResponse:
    """Raises the video's error if it has no score."""
    (result,) = scored.results
    return ScoreResponse(
        **_scored_or_raise(result, request).model_dump(),
        request_id=scored.call.request_id,
        model=scored.model.stamp,
        timing=scored.timing,
    )


def compare_response(request: CompareRequest, scored: ScoredVideos) -> CompareResponse:
    """Raises the error of a video without a score; `details` then name the `video`, "a" or "b"."""
    a, b = (_scored_or_raise(result, request, video=name) for name, result in zip("ab", scored.results, strict=True))
    difference = scored.model.scorer.info.preference_scale * (a.reward - b.reward)
    p_a_wins, p_tie, p_b_wins = (float(p) for p in probabilities(difference, request.theta))
    return CompareResponse(
        request_id=scored.call.request_id, model=scored.model.stamp, a=a, b=b, theta=request.theta, p_a_wins=p_a_wins,
        p_tie=p_tie, p_b_wins=p_b_wins, verdict=verdict(difference, request.theta), timing=scored.timing,
    )  # fmt: skip


def group_response(request: GroupRequest, scored: ScoredVideos) -> GroupResponse:
    """An item per video, with its score or its error; preference matrices where the request asks for them."""
    win = tie = None
    if request.matrices:
        rewards_G = [np.nan if result.score is None else result.score.reward for result in scored.results]
        scaled_G = scored.model.scorer.info.preference_scale * np.asarray(rewards_G)
        win, tie = (
            [[None if np.isnan(p) else float(p) for p in row] for row in matrix]
            for matrix in matrices(scaled_G, request.theta)
        )
    return GroupResponse(
        request_id=scored.call.request_id, model=scored.model.stamp, theta=request.theta, win=win, tie=tie,
        timing=scored.timing, items=[item(index, result, request) for index, result in enumerate(scored.results)],
    )  # fmt: skip


def item(index: int, result: ItemResult, request: RequestBase) -> Item:
    """The message of one video of a group."""
    scored = _scored(result, request)
    if isinstance(scored, RewardError):
        return Item(index=index, error=to_body(scored))
    return Item(index=index, scored=scored)


def _scored_or_raise(result: ItemResult, request: RequestBase, **details: str) -> Scored:
    scored = _scored(result, request)
    if isinstance(scored, RewardError):
        scored.details.update(details)
        raise scored
    return scored


def _scored(result: ItemResult, request: RequestBase) -> Scored | RewardError:
    if result.error is not None:
        return result.error
    assert result.score is not None
    assert result.video is not None
    return Scored(
        reward=result.score.reward,
        fps=result.video.fps,
        num_source_frames=result.video.num_source_frames,
        frame_indices=list(result.video.frame_indices),
        video_id=result.video.video_id,
        details=result.score.details if request.details else None,
        warnings=list(result.warnings),
        spread=result.score.spread,
    )
