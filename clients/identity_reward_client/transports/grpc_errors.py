"""Failed gRPC calls -> errors of the tree: by the server's details, or by the status alone where there are none."""

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

# what grpc.aio says when a write fails before the status has arrived
_BROKEN_UPLOAD = "Internal error from Core"


def from_rpc(error: grpc.aio.AioRpcError, where: str, timeout_s: float) -> RewardError:
    for key, value in error.trailing_metadata() or ():
        told = from_details(value) if key == DETAILS_KEY and isinstance(value, bytes) else None
        if told is not None:
            return told
    code, text = error.code(), (error.details() or "").strip()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"no answer from {where} within {timeout_s:g} s")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # gRPC's own words: of a message over a limit, or of more calls than a server takes
        return PayloadTooLarge(f"{where}: {text}") if "larger than max" in text else Overloaded(f"{where}: {text}")
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(f"{where}: {text}")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return PermissionDenied(f"{where}: {text}")
    if code is grpc.StatusCode.INTERNAL and text == _BROKEN_UPLOAD:
        return ConnectionFailed(f"{where} ended the call before it had all of the request")
    if code is grpc.StatusCode.CANCELLED:
        return ConnectionFailed(f"{where} ended the call: {text or 'it is stopping'}")
    if code is grpc.StatusCode.UNAVAILABLE:
        return ConnectionFailed(
            f"nothing answers at {where}, or the connection broke ({text}); start a server with `identity-reward serve "
            "--grpc-port PORT`, or give its address"
        )
    return InvalidResponse(f"{where} answered {code.name} ({text}), and not as this service does; is it the right one?")
