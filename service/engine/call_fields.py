"""Headers or gRPC metadata of a request as its Call."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import cast

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.wire.headers import (
    IDEMPOTENCY_HEADER,
    PRIORITIES,
    PRIORITY_HEADER,
    REQUEST_ID_HEADER,
    TIMEOUT_HEADER,
    Priority,
)

from ..scheduling.call import REQUEST_ID, Call, new_id

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")

# Fields are looked up by lower-case names, which gRPC metadata has; HTTP headers are found by any case.


def request_id(fields: Mapping[str, str]) -> str:
    """The caller's request id if it is a valid one, otherwise a new one."""
    request_id_field = fields.get(REQUEST_ID_HEADER.lower(), "")
    return request_id_field if REQUEST_ID.fullmatch(request_id_field) else new_id()


def read_call(fields: Mapping[str, str], request_id: str, client: str, max_timeout_s: float) -> Call:
    """The call of these fields. Raises InvalidRequest for a bad value. `max_timeout_s` is the server's own limit."""
    priority = fields.get(PRIORITY_HEADER.lower(), "interactive")
    if priority not in PRIORITIES:
        raise InvalidRequest(f"{PRIORITY_HEADER} must be one of {', '.join(PRIORITIES)}")
    key = fields.get(IDEMPOTENCY_HEADER.lower())
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest(f"{IDEMPOTENCY_HEADER} must be 1 to 200 printable characters without a space")
    deadline = time.monotonic() + read_timeout(fields, max_timeout_s)
    traceparent = fields.get("traceparent")
    return Call(request_id, client, cast(Priority, priority), deadline, key, traceparent=traceparent)


def read_timeout(fields: Mapping[str, str], max_timeout_s: float) -> float:
    """The caller's timeout in seconds, at most `max_timeout_s`. Raises InvalidRequest for a bad value."""
    text = fields.get(TIMEOUT_HEADER.lower())
    if text is None:
        return max_timeout_s
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidRequest(f"{TIMEOUT_HEADER} must be a positive number of seconds")
    return min(seconds, max_timeout_s)
