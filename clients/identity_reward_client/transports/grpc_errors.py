"""Failed gRPC calls as errors of the API: by the server's details, or by the status alone if there are none."""

from __future__ import annotations

import grpc

from ..errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidResponse,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    RewardError,
    Unauthenticated,
)
from ..proto.status import DETAILS_KEY, from_details

# grpc.aio's text when a write fails before the status has arrived
_BROKEN_UPLOAD = "Internal error from Core"
# OpenSSL's reason, in gRPC's text, for a first answer that is not TLS
_NOT_TLS = "WRONG_VERSION_NUMBER"


def from_rpc(error: grpc.aio.AioRpcError, target: str, timeout_s: float) -> RewardError:
    """The error for a failed call to `target`."""
    for key, value in error.trailing_metadata() or ():
        server_error = from_details(value) if key == DETAILS_KEY and isinstance(value, bytes) else None
        if server_error is not None:
            return server_error
    code, text = error.code(), (error.details() or "").strip()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"no answer from {target} within {timeout_s:g} s")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # gRPC's own: a message over a limit, or more concurrent calls than the server takes
        too_large = "larger than max" in text
        return PayloadTooLarge(f"{target}: {text}") if too_large else Overloaded(f"{target}: {text}")
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(f"{target}: {text}")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return PermissionDenied(f"{target}: {text}")
    if code is grpc.StatusCode.INTERNAL and text == _BROKEN_UPLOAD:
        return ConnectionFailed(f"{target} ended the call before it had received the whole request")
    if code is grpc.StatusCode.CANCELLED:
        return ConnectionFailed(f"{target} ended the call: {text or 'it is shutting down'}")
    if code is grpc.StatusCode.UNAVAILABLE and _NOT_TLS in text:
        return InvalidResponse(
            f"the port of {target} does not speak TLS; try {target.replace('grpcs://', 'grpc://', 1)}"
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return ConnectionFailed(
            f"nothing answers at {target}, or the connection broke ({text}); start a server with "
            "`identity-reward serve --grpc-port PORT`, or give its address"
        )
    return InvalidResponse(f"{target} answered {code.name} ({text}), not as this service does; is it the right one?")
