"""Every error that this project raises across a wire, once, for both sides.

RewardError
├── CallerError                        the request can't succeed as it is
│   ├── InvalidRequest                 malformed JSON, unknown field, wrong type or shape
│   ├── MissingFps                     frames without fps
│   ├── InvalidMedia                   bytes that no decoder takes, short reads, animated pictures
│   ├── InputRefused                   a URL or path that the server doesn't take, or can't read
│   ├── LimitExceeded                  counts, pixels, frames, durations over the server's limits
│   ├── PayloadTooLarge                body over the server's limit
│   ├── FrameIndexMismatch             sender's frame choice isn't the model's
│   ├── ReferenceWithoutFace           a model of faces found none in a reference picture
│   ├── Unauthenticated                no token, or one the server doesn't know
│   ├── PermissionDenied               the token's scope doesn't reach this
│   ├── NotFound                       no such route
│   │   ├── ModelNotFound              not served here; the message lists what is
│   │   ├── ReferenceSetNotFound       not stored (any more): send the pictures again
│   │   └── VideoNotFound              no reward is kept for this id: send the video itself
│   ├── MethodNotAllowed               the route is there for other methods
│   ├── UnsupportedMediaType           content type of the body
│   ├── Conflict                       same idempotency key, other body
│   ├── RateLimited                    retryable: this client's share is used up
│   └── Cancelled                      the caller went away
├── ServiceError                       the service's fault
│   ├── InternalError                  a defect of the service
│   ├── NonFiniteReward                the model gave NaN or infinity: never passed on as a number
│   ├── ScoringFailed                  the forward pass failed
│   ├── Overloaded                     retryable: more is waiting than the queue holds
│   ├── StorageFull                    retryable: no room to keep another job
│   ├── NotReady                       retryable: starting or draining
│   └── DeadlineExceeded               retryable: not answered within the request's time
└── TransportError                     seen by the client only
    ├── ConnectionFailed               retryable: nothing listens, or the connection broke
    └── InvalidResponse                an answer that isn't this API's
"""

from __future__ import annotations

import re
from typing import Any, ClassVar


class RewardError(Exception):
    """Base of the tree. `message` says what was wrong, what was given and what would do."""

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "UNKNOWN"  # name of a grpc.StatusCode: this package stays importable without grpc
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, details: dict[str, Any] | None = None, retry_after_s: float | None = None):
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s

    def __reduce__(self):
        return _rebuild, (type(self), self.message, self.details, self.retry_after_s)


def _rebuild(cls, message, details, retry_after_s):
    return cls(message, details=details, retry_after_s=retry_after_s)


class CallerError(RewardError):
    code, http_status, grpc_status = "caller_error", 400, "INVALID_ARGUMENT"


class InvalidRequest(CallerError):
    code, http_status, grpc_status = "invalid_request", 400, "INVALID_ARGUMENT"


class MissingFps(CallerError):
    code, http_status, grpc_status = "missing_fps", 422, "INVALID_ARGUMENT"


class InvalidMedia(CallerError):
    code, http_status, grpc_status = "invalid_media", 422, "INVALID_ARGUMENT"


class InputRefused(CallerError):
    code, http_status, grpc_status = "input_refused", 422, "INVALID_ARGUMENT"


class LimitExceeded(CallerError):
    code, http_status, grpc_status = "limit_exceeded", 422, "INVALID_ARGUMENT"


class PayloadTooLarge(CallerError):
    code, http_status, grpc_status = "payload_too_large", 413, "RESOURCE_EXHAUSTED"


class FrameIndexMismatch(CallerError):
    code, http_status, grpc_status = "frame_index_mismatch", 422, "INVALID_ARGUMENT"


class ReferenceWithoutFace(CallerError):
    code, http_status, grpc_status = "reference_without_face", 422, "FAILED_PRECONDITION"


class Unauthenticated(CallerError):
    code, http_status, grpc_status = "unauthenticated", 401, "UNAUTHENTICATED"


class PermissionDenied(CallerError):
    code, http_status, grpc_status = "permission_denied", 403, "PERMISSION_DENIED"


class NotFound(CallerError):
    code, http_status, grpc_status = "not_found", 404, "NOT_FOUND"


class ModelNotFound(NotFound):
    code = "model_not_found"


class ReferenceSetNotFound(NotFound):
    code = "reference_set_not_found"


class VideoNotFound(NotFound):
    code = "video_not_found"


class MethodNotAllowed(CallerError):
    code, http_status, grpc_status = "method_not_allowed", 405, "UNIMPLEMENTED"


class UnsupportedMediaType(CallerError):
    code, http_status, grpc_status = "unsupported_media_type", 415, "INVALID_ARGUMENT"


class Conflict(CallerError):
    code, http_status, grpc_status = "conflict", 409, "ALREADY_EXISTS"


class RateLimited(CallerError):
    code, http_status, grpc_status, retryable = "rate_limited", 429, "RESOURCE_EXHAUSTED", True


class Cancelled(CallerError):
    code, http_status, grpc_status = "cancelled", 499, "CANCELLED"


class ServiceError(RewardError):
    code, http_status, grpc_status = "service_error", 500, "INTERNAL"


class InternalError(ServiceError):
    code, http_status, grpc_status = "internal", 500, "INTERNAL"


class NonFiniteReward(ServiceError):
    code, http_status, grpc_status = "non_finite_reward", 500, "INTERNAL"


class ScoringFailed(ServiceError):
    code, http_status, grpc_status = "scoring_failed", 500, "INTERNAL"


class Overloaded(ServiceError):
    code, http_status, grpc_status, retryable = "overloaded", 503, "RESOURCE_EXHAUSTED", True


class StorageFull(ServiceError):
    code, http_status, grpc_status, retryable = "storage_full", 503, "RESOURCE_EXHAUSTED", True


class NotReady(ServiceError):
    code, http_status, grpc_status, retryable = "not_ready", 503, "UNAVAILABLE", True


class DeadlineExceeded(ServiceError):
    code, http_status, grpc_status, retryable = "deadline_exceeded", 504, "DEADLINE_EXCEEDED", True


class TransportError(RewardError):
    code, grpc_status = "transport_error", "UNKNOWN"


class ConnectionFailed(TransportError):
    code, http_status, grpc_status, retryable = "connection_failed", 503, "UNAVAILABLE", True


class InvalidResponse(TransportError):
    code, http_status, grpc_status = "invalid_response", 502, "INTERNAL"


def _leaves(cls: type[RewardError]) -> list[type[RewardError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _leaves(sub))]


# The one table: code -> class; HTTP and gRPC status are attributes of the class.
BY_CODE: dict[str, type[RewardError]] = {cls.code: cls for cls in _leaves(RewardError)}


def from_code(
    code: str, message: str, details: dict[str, Any] | None = None, retry_after_s: float | None = None
) -> RewardError:
    """The error of the tree with this code; an unknown code (a newer server's) becomes its nearest known base."""
    cls = BY_CODE.get(code)
    if cls is None:
        return RewardError(message, details={**(details or {}), "code": code}, retry_after_s=retry_after_s)
    return cls(message, details=details, retry_after_s=retry_after_s)


def answered() -> list[type[RewardError]]:
    """What a server answers with, in the order of the tree."""
    bases = (CallerError, ServiceError)
    return [cls for cls in BY_CODE.values() if issubclass(cls, bases) and cls not in bases]


def summary(cls: type[RewardError]) -> str:
    """When it is raised, in the words of the tree above."""
    found = re.search(rf"{cls.__name__}\s{{2,}}(.+)", __doc__ or "")
    return found.group(1).removeprefix("retryable: ") if found else ""
