"""What travels beside a message: how urgent it is, how long an answer is waited for, and under which key it may be
repeated. HTTP headers by these names, gRPC metadata by the same in lower case."""

from __future__ import annotations

from typing import Literal, get_args

# a training step waits for rollouts, a person for interactive calls, nobody for bulk
Priority = Literal["rollout", "interactive", "bulk"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

REQUEST_ID_HEADER = "X-Request-Id"
PRIORITY_HEADER = "X-Priority"
# seconds, a decimal number; a server's own limit holds too. gRPC has deadlines of its own
TIMEOUT_HEADER = "X-Request-Timeout"
# a repeated call with the same key and content joins the first or gets its answer
IDEMPOTENCY_HEADER = "Idempotency-Key"
# content id of the references, for proxies: hashed, it leads to the replica that holds the set. No server reads it
REFERENCE_SET_HEADER = "X-Reference-Set"
