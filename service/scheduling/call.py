"""Metadata of a request: who calls, how urgently and until when."""

from __future__ import annotations

import math
import re
import time
import uuid
from dataclasses import dataclass, field

from identity_reward_client.wire.headers import Priority

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new_id() -> str:
    """A random request or job id."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Call:
    """Metadata of one request, the same for every transport."""

    request_id: str = field(default_factory=new_id)
    # name of the caller's token, or its address; capacity and rates are shared out by it
    client: str = "local"
    priority: Priority = "interactive"
    # on time.monotonic(): a later response is of no use
    deadline: float = math.inf
    idempotency_key: str | None = None
    # the token has scope `admin`: other clients' jobs are visible
    admin: bool = False
    # W3C trace context of the caller's span
    traceparent: str | None = None

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.deadline - time.monotonic()
