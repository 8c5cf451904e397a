"""What travels beside a message (HTTP headers, gRPC metadata) to the Call that it describes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.wire.headers import (
    IDEMPOTENCY_HEADER,
    PRIORITIES,
    PRIORITY_HEADER,
    REQUEST_ID_HEADER,
    TIMEOUT_HEADER,
)

from ..scheduling.call import REQUEST_ID, Call, new_id

# by lower-case names: those of metadata, and headers are found by any
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def request_id(fields: Mapping[str, str]) -> str:
    given = fields.get(REQUEST_ID_HEADER.lower(), "")
    return given if REQUEST_ID.fullmatch(given) else new_id()


def read_call(fields: Mapping[str, str], request_id: str, client: str, most_s: float) -> Call:
    """InvalidRequest where a header is none of what it may be. `most_s` is the server's own limit."""
    priority = fields.get(PRIORITY_HEADER.lower(), "interactive")
    if priority not in PRIORITIES:
        raise InvalidRequest(f"{PRIORITY_HEADER} must be one of {', '.join(PRIORITIES)}")
    key = fields.get(IDEMPOTENCY_HEADER.lower())
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(f"{IDEMPOTENCY_HEADER} must be 1 to 200 printable characters without a space")
    timeout_s = read_timeout(fields, most_s)
    deadline = time.monotonic() + timeout_s
    trace = fields.get("traceparent")
    return Call(request_id, client, priority, deadline, key, traceparent=trace)  # type: ignore[arg-type]


def read_timeout(fields: Mapping[str, str], most_s: float) -> float:
    given = fields.get(TIMEOUT_HEADER.lower())
    if given is None:
        return most_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidRequest(f"{TIMEOUT_HEADER} must be a positive number of seconds")
    return min(seconds, most_s)
