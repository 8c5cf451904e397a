"""Exceptions as errors of the API, and what is logged of them: never a traceback or a value from a request."""

from __future__ import annotations

import logging
from pathlib import Path

from identity_reward_client.errors import InternalError, NotReady, RewardError

log = logging.getLogger("identity_reward")


def error_location(error: BaseException, num_frames: int = 3) -> str:
    """Type and innermost frames without the text: `"ValueError at media.py:41 decode < engine.py:80 _prepare"`."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' < '.join(reversed(frames[-num_frames:]))}"


def stopping_error() -> NotReady:
    """The error of requests that come while the server stops."""
    return NotReady("the server is stopping; another or the next one takes requests", retry_after_s=5)


def to_reward_error(error: BaseException) -> RewardError:
    """A RewardError as it is; anything else is logged without its text and becomes InternalError."""
    if isinstance(error, RewardError):
        return error
    log.error("internal error: %s", error_location(error))
    return InternalError("something failed inside the server; its log says where")
