"""What a transport knows of a call besides its message."""

from __future__ import annotations

import math
import re
import time
import uuid
from dataclasses import dataclass, field

from identity_reward_client.wire.headers import Priority

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Call:
    request_id: str = field(default_factory=new_id)
    # whose share of the server it uses: the name of a token, or else an address
    client: str = "local"
    priority: Priority = "interactive"
    # on time.monotonic(): an answer after it is of no use
    deadline: float = math.inf
    idempotency_key: str | None = None
    # a token of that scope was shown: it may see other clients' jobs
    admin: bool = False
    # W3C trace context of the caller's span
    traceparent: str | None = None

    @property
    def remaining_s(self) -> float:
        return self.deadline - time.monotonic()
