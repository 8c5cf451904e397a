"""Errors of the API, one class per code: a server answers with them, a client and a reward model raise them.

Three branches: `CallerError` (the request is at fault), `ServiceError` (the service is) and `TransportError` (seen by a
client only). All that a class says about itself is a class attribute, its `meaning` too, which becomes the docstring.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

Error = TypeVar("Error", bound="RewardError")


class RewardError(Exception):
    """Base of every error. `message` says what is wrong, which value was given and which would do."""

    # identifier on the wire; it never changes
    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    # name of a member of grpc.StatusCode: this package can be imported without grpc
    grpc_status: ClassVar[str] = "UNKNOWN"
    # the same request may succeed later
    retryable: ClassVar[bool] = False
    # the error of one item holds for every video of its group, because it is about the references or the prompt
    whole_group: ClassVar[bool] = False
    # one sentence for people: when it is raised
    meaning: ClassVar[str] = "An error of the API."

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__ is None:
            cls.__doc__ = cls.meaning

    def __init__(
        self, message: str, *, details: dict[str, Any] | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details, self.retry_after_s)


def _rebuild(cls: type[Error], message: str, details: dict[str, Any], retry_after_s: float | None) -> Error:
    return cls(message, details=details, retry_after_s=retry_after_s)


class UnknownError(RewardError):
    meaning = "A code of a newer server: `details` holds the `code`, and whether the server calls it `retryable`."

    def __init__(
        self, message: str, *, details: dict[str, Any] | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, details=details, retry_after_s=retry_after_s)
        self.retryable = bool(self.details.get("retryable"))  # type: ignore[misc]  # of this error, not of its class


class CallerError(RewardError):
    code, http_status, grpc_status = "caller_error", 400, "INVALID_ARGUMENT"
    meaning = "The request cannot succeed as it is."


class InvalidRequest(CallerError):
    code, http_status, grpc_status = "invalid_request", 400, "INVALID_ARGUMENT"
    meaning = "Malformed JSON, an unknown field, or a value of the wrong type or shape."


class MissingFps(CallerError):
    code, http_status, grpc_status = "missing_fps", 422, "INVALID_ARGUMENT"
    meaning = "Frames without their frame rate."


class InvalidMedia(CallerError):
    code, http_status, grpc_status = "invalid_media", 422, "INVALID_ARGUMENT"
    meaning = "Bytes that no decoder reads, a video that ends early, or an animated image."


class InputRefused(CallerError):
    code, http_status, grpc_status = "input_refused", 422, "INVALID_ARGUMENT"
    meaning = "A URL or path that the server does not accept or cannot read."


class LimitExceeded(CallerError):
    code, http_status, grpc_status = "limit_exceeded", 422, "INVALID_ARGUMENT"
    meaning = "More items, pixels, frames or seconds than the server allows."


class PayloadTooLarge(CallerError):
    code, http_status, grpc_status = "payload_too_large", 413, "RESOURCE_EXHAUSTED"
    meaning = "A body larger than the server allows."


class FrameIndexMismatch(CallerError):
    code, http_status, grpc_status = "frame_index_mismatch", 422, "INVALID_ARGUMENT"
    meaning = "The frames that were sent are not those that the model samples."


class ReferenceWithoutFace(CallerError):
    code, http_status, grpc_status = "reference_without_face", 422, "FAILED_PRECONDITION"
    whole_group = True
    meaning = "A face model found no face in a reference image."


class Unauthenticated(CallerError):
    code, http_status, grpc_status = "unauthenticated", 401, "UNAUTHENTICATED"
    meaning = "No token, or one that the server does not know."


class PermissionDenied(CallerError):
    code, http_status, grpc_status = "permission_denied", 403, "PERMISSION_DENIED"
    meaning = "The token's scope does not include this call."


class NotFound(CallerError):
    code, http_status, grpc_status = "not_found", 404, "NOT_FOUND"
    meaning = "No such route."


class ModelNotFound(NotFound):
    code, http_status, grpc_status = "model_not_found", 404, "NOT_FOUND"
    meaning = "No such model on this server; the message lists the models that it serves."


class ReferenceSetNotFound(NotFound):
    code, http_status, grpc_status = "reference_set_not_found", 404, "NOT_FOUND"
    meaning = "The reference set is not stored, or no longer: upload the images again."


class VideoNotFound(NotFound):
    code, http_status, grpc_status = "video_not_found", 404, "NOT_FOUND"
    meaning = "No reward is cached for this content id: send the video itself."


class MethodNotAllowed(CallerError):
    code, http_status, grpc_status = "method_not_allowed", 405, "UNIMPLEMENTED"
    meaning = "The route exists for other HTTP methods."


class UnsupportedMediaType(CallerError):
    code, http_status, grpc_status = "unsupported_media_type", 415, "INVALID_ARGUMENT"
    meaning = "The body has a content type that the route does not read."


class Conflict(CallerError):
    code, http_status, grpc_status = "conflict", 409, "ALREADY_EXISTS"
    meaning = "The idempotency key was used before with another body."


class RateLimited(CallerError):
    code, http_status, grpc_status = "rate_limited", 429, "RESOURCE_EXHAUSTED"
    retryable = True
    meaning = "This client's share of the server is used up."


class Cancelled(CallerError):
    code, http_status, grpc_status = "cancelled", 499, "CANCELLED"
    meaning = "The caller closed the connection before the answer."


class ServiceError(RewardError):
    code, http_status, grpc_status = "service_error", 500, "INTERNAL"
    meaning = "The service failed; the request may be right."


class InternalError(ServiceError):
    code, http_status, grpc_status = "internal", 500, "INTERNAL"
    meaning = "A defect of the service."


class NonFiniteReward(ServiceError):
    code, http_status, grpc_status = "non_finite_reward", 500, "INTERNAL"
    meaning = "The model computed NaN or infinity, which is never passed on as a reward."


class ScoringFailed(ServiceError):
    code, http_status, grpc_status = "scoring_failed", 500, "INTERNAL"
    meaning = "The forward pass failed."


class OutOfMemory(ScoringFailed):
    meaning = "The device ran out of memory on this sample, in a smaller batch too."


class DeviceLost(ScoringFailed):
    meaning = "The device's context is gone: this process can compute nothing more."


class Overloaded(ServiceError):
    code, http_status, grpc_status = "overloaded", 503, "RESOURCE_EXHAUSTED"
    retryable = True
    meaning = "More requests are waiting than the queue has capacity for."


class StorageFull(ServiceError):
    code, http_status, grpc_status = "storage_full", 503, "RESOURCE_EXHAUSTED"
    retryable = True
    meaning = "The server has no storage left for another job."


class NotReady(ServiceError):
    code, http_status, grpc_status = "not_ready", 503, "UNAVAILABLE"
    retryable = True
    meaning = "The server is starting or shutting down."


class DeadlineExceeded(ServiceError):
    code, http_status, grpc_status = "deadline_exceeded", 504, "DEADLINE_EXCEEDED"
    retryable = True
    meaning = "No answer within the request's time limit."


class TransportError(RewardError):
    code, http_status, grpc_status = "transport_error", 500, "UNKNOWN"
    meaning = "The client got no usable answer."


class ConnectionFailed(TransportError):
    code, http_status, grpc_status = "connection_failed", 503, "UNAVAILABLE"
    retryable = True
    meaning = "Nothing listens at the address, or the connection broke."


class InvalidResponse(TransportError):
    code, http_status, grpc_status = "invalid_response", 502, "INTERNAL"
    meaning = "An answer that is not of this API."


def _with_subclasses(cls: type[RewardError]) -> list[type[RewardError]]:
    return [cls, *(leaf for subclass in cls.__subclasses__() for leaf in _with_subclasses(subclass))]


# code -> class. A subclass without a code of its own (OutOfMemory) travels as its base.
BY_CODE: dict[str, type[RewardError]] = {}
for _cls in _with_subclasses(RewardError):
    BY_CODE.setdefault(_cls.code, _cls)


def from_code(
    code: str,
    message: str,
    details: dict[str, Any] | None = None,
    retry_after_s: float | None = None,
    *,
    retryable: bool = False,
) -> RewardError:
    """The error with this code; an `UnknownError` for a code that this version does not have."""
    cls = BY_CODE.get(code)
    if cls is None:
        unknown = {**(details or {}), "code": code, "retryable": retryable}
        return UnknownError(message, details=unknown, retry_after_s=retry_after_s)
    return cls(message, details=details, retry_after_s=retry_after_s)


def server_errors() -> list[type[RewardError]]:
    """Classes that a server answers with, in the order of this file."""
    branches = (CallerError, ServiceError)
    return [cls for cls in BY_CODE.values() if issubclass(cls, branches) and cls not in branches]
