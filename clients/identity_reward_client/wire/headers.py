"""HTTP headers of the API; gRPC metadata has the same names in lower case."""

from __future__ import annotations

import re
from typing import Literal, get_args

from ..errors import InvalidRequest

# scheduling class of a call: training steps before interactive use before bulk work
Priority = Literal["rollout", "interactive", "bulk"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

REQUEST_ID_HEADER = "X-Request-Id"
PRIORITY_HEADER = "X-Priority"
# seconds, a decimal number; the server's own limit applies too. gRPC has deadlines of its own
TIMEOUT_HEADER = "X-Request-Timeout"
# a repeated call with the same key and content joins the first one or gets its answer
IDEMPOTENCY_HEADER = "Idempotency-Key"
# content id of the references, for proxies: consistent hashing on it finds the replica that stores the set
REFERENCE_SET_HEADER = "X-Reference-Set"


def authorization(token: str | None) -> str | None:
    """Value of the Authorization header; None without a token. White space around the token is removed.

    InvalidRequest, which does not show the token, if it has characters that a header cannot carry.
    """
    token = (token or "").strip()
    if not token:
        return None
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidRequest(
            "the token contains a space, a line end or a character outside ASCII: is there more than the token in "
            "the variable or file that it comes from?"
        )
    return f"Bearer {token}"
