"""How errors become answers, and what of them is logged: never a traceback, never a value from a request."""

from __future__ import annotations

import logging
from pathlib import Path

from identity_reward_client.errors import InternalError, NotReady, RewardError
from identity_reward_client.messages import ErrorBody

log = logging.getLogger("identity_reward")


def where(error: BaseException, frames: int = 3) -> str:
    """`"ValueError at media.py:41 decode < engine.py:80 _prepare"`: the type and the innermost frames, no text."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' < '.join(reversed(places[-frames:]))}"


def stopping() -> NotReady:
    return NotReady("the server is stopping; another or the next one takes requests", retry_after_s=5)


def typed(error: BaseException) -> RewardError:
    """The error of the wire's tree for anything that was raised while serving a request."""
    if isinstance(error, RewardError):
        return error
    log.error("internal error: %s", where(error))
    return InternalError("something failed inside the server; its log says where")


def body(error: RewardError) -> ErrorBody:
    return ErrorBody(code=error.code, message=error.message, retryable=error.retryable, details=error.details)
