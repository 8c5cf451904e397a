"""Errors as JSON bodies, for the server and for items that a client fails itself."""

from __future__ import annotations

from ..errors import RewardError, from_code
from ..messages import ErrorBody


def to_body(error: RewardError) -> ErrorBody:
    """The error as a message."""
    return ErrorBody(code=error.code, message=error.message, retryable=error.retryable, details=error.details)


def from_body(body: ErrorBody, retry_after_s: float | None = None) -> RewardError:
    """The error of a message; an `UnknownError` for a code that this version does not have."""
    return from_code(body.code, body.message, body.details, retry_after_s, retryable=body.retryable)
