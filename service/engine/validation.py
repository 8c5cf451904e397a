"""Validation of a request: counts and parameters against the limits of the server and of the model."""

from __future__ import annotations

from collections.abc import Sequence

from identity_reward_client.errors import InvalidRequest, LimitExceeded
from identity_reward_client.messages import CompareRequest, GroupRequest, RequestBase, Video

from ..settings.groups import RequestSettings

MAX_THETA = 1e6


def validate(
    request: RequestBase,
    videos: Sequence[Video],
    limits: RequestSettings,
    num_references: int,
    model_max_references: int,
) -> None:
    """Raise InvalidRequest or LimitExceeded for what no later stage can accept."""
    if isinstance(request, CompareRequest | GroupRequest) and request.theta > MAX_THETA:
        raise InvalidRequest(f"theta must be above 1 and at most {MAX_THETA:g}, got {request.theta:g}")
    check_num_references(num_references, min(limits.max_references, model_max_references))
    check_limit("videos", len(videos), "max_group_videos", limits.max_group_videos)
    check_limit("characters of prompt", len(request.prompt or ""), "max_prompt_chars", limits.max_prompt_chars)


def check_num_references(count: int, maximum: int) -> None:
    """Raise LimitExceeded for too many reference images."""
    check_limit("references", count, "max_references", maximum)


def check_limit(label: str, count: int, name: str, maximum: int) -> None:
    """Raise LimitExceeded, with the limit's name in the details, if `count` is above `maximum`."""
    if count > maximum:
        raise LimitExceeded(
            f"{count} {label}; at most {maximum} are allowed", details={"limit": name, "maximum": maximum}
        )
