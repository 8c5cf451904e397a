"""Errors of the tree <-> their shape on the wire."""

from __future__ import annotations

from ..errors import BY_CODE, RewardError, from_code
from ..messages import ErrorBody


class UnknownError(RewardError):
    """A code of a newer server. `details["code"]` is that code; whether to retry is what the server said."""

    def __init__(self, message, *, details=None, retry_after_s=None):
        super().__init__(message, details=details, retry_after_s=retry_after_s)
        self.retryable = bool(  # type: ignore[misc]  # of this one, not of its class
            self.details.get("retryable")
        )


def to_body(error: RewardError) -> ErrorBody:
    return ErrorBody(code=error.code, message=error.message, retryable=error.retryable, details=error.details)


def from_body(body: ErrorBody, retry_after_s: float | None = None) -> RewardError:
    if body.code in BY_CODE:
        return from_code(body.code, body.message, body.details, retry_after_s)
    details = {**body.details, "code": body.code, "retryable": body.retryable}
    return UnknownError(body.message, details=details, retry_after_s=retry_after_s)
