"""Errors of the API as google.rpc.Status, the details of a failed call (trailing metadata `grpc-status-details-bin`).

ErrorInfo identifies the error (`reason` is its code); RetryInfo says when to retry. A call's metadata must be small, so
long details of an error are left out.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from pydantic_core import from_json, to_json

from ..errors import NotReady, Overloaded, RateLimited, RewardError
from ..messages import ErrorBody
from ..wire.error_bodies import from_body

DOMAIN = "identity_reward.v1"
DETAILS_KEY = "grpc-status-details-bin"
_MAX_DETAILS_BYTES = 2048
_MAX_MESSAGE_CHARS = 1024
_WITH_RETRY_INFO = (Overloaded, NotReady, RateLimited)


def to_status(error: RewardError) -> Any:
    """The google.rpc.Status of `error`, with RetryInfo of at least 1 s if a later attempt may succeed."""
    status = status_pb2.Status(
        code=getattr(grpc.StatusCode, error.grpc_status).value[0], message=error.message[:_MAX_MESSAGE_CHARS]
    )
    metadata = {"retryable": "true" if error.retryable else "false"}
    details = to_json(error.details, inf_nan_mode="null", serialize_unknown=True)
    if error.details and len(details) <= _MAX_DETAILS_BYTES:
        metadata["details"] = details.decode()
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata=metadata))
    if error.retry_after_s is not None or isinstance(error, _WITH_RETRY_INFO):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(max(1.0, error.retry_after_s or 1.0) * 1e9))
        status.details.add().Pack(retry)
    return status


def from_details(data: bytes) -> RewardError | None:
    """The error in the details of a failed call; None if they are not this API's."""
    try:
        status = status_pb2.Status.FromString(data)
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(retry)
        details = from_json(info.metadata.get("details", "{}"))
    except (DecodeError, ValueError):
        return None
    if info.domain != DOMAIN or not isinstance(details, dict):
        return None
    body = ErrorBody(
        code=info.reason,
        message=status.message,
        retryable=info.metadata.get("retryable") == "true",
        details=details,
    )
    return from_body(body, retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None)
