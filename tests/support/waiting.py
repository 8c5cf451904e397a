"""Waiting for conditions instead of sleeping. Limits are generous: they end a test that hangs, and measure nothing."""

import time
from collections.abc import Callable
from typing import TypeVar

GENEROUS_S = 120.0
_POLL_S = 0.02

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = GENEROUS_S) -> T:
    """Return the first truthy value of `condition`; fail with `what` did not happen."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {timeout_s:g} s still not: {what}"
        time.sleep(_POLL_S)
    return value
