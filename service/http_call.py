"""A request's headers to the Call that they describe."""

from __future__ import annotations

import math
import re
import time

from starlette.datastructures import Headers

from identity_reward_client.call_options import (
    IDEMPOTENCY_HEADER,
    PRIORITIES,
    PRIORITY_HEADER,
    REQUEST_ID_HEADER,
    TIMEOUT_HEADER,
)
from identity_reward_client.errors import InvalidRequest

from .call import REQUEST_ID, Call, new_id

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if REQUEST_ID.fullmatch(given) else new_id()


def read_call(headers: Headers, request_id: str, client: str, most_s: float) -> Call:
    """InvalidRequest where a header is none of what it may be. `most_s` is the server's own limit."""
    priority = headers.get(PRIORITY_HEADER, "interactive")
    if priority not in PRIORITIES:
        raise InvalidRequest(f"{PRIORITY_HEADER} must be one of {', '.join(PRIORITIES)}")
    key = headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(f"{IDEMPOTENCY_HEADER} must be 1 to 200 printable characters without a space")
    timeout_s = read_timeout(headers, most_s)
    deadline = time.monotonic() + timeout_s
    return Call(request_id, client, priority, deadline, key, headers.get("traceparent"))  # type: ignore[arg-type]


def read_timeout(headers: Headers, most_s: float) -> float:
    given = headers.get(TIMEOUT_HEADER)
    if given is None:
        return most_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidRequest(f"{TIMEOUT_HEADER} must be a positive number of seconds")
    return min(seconds, most_s)
