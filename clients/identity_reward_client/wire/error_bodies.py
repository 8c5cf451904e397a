"""Errors in the shape that they have in a JSON answer."""

from __future__ import annotations

from ..errors import RewardError, from_code
from ..messages import ErrorBody


def to_body(error: RewardError) -> ErrorBody:
    """The error as it is sent."""
    return ErrorBody(code=error.code, message=error.message, retryable=error.retryable, details=error.details)


def from_body(body: ErrorBody, retry_after_s: float | None = None) -> RewardError:
    """The error that was sent; an `UnknownError` where its code is not of this version."""
    return from_code(body.code, body.message, body.details, retry_after_s, retryable=body.retryable)
