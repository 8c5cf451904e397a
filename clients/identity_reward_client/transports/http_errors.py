"""HTTP error responses and broken connections as errors of the API."""

from __future__ import annotations

import math
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ..errors import ConnectionFailed, DeadlineExceeded, InvalidResponse, RewardError
from ..messages import ErrorResponse
from ..wire.error_bodies import from_body
from ..wire.validation import explain

T = TypeVar("T", bound=BaseModel)
# reasons in OpenSSL's errors for a first answer that is not TLS, which depend on what the port speaks
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
)


class GatewayError(InvalidResponse):
    """502, 503 or 504 from a gateway whose service is unavailable. Retryable."""

    retryable = True


def from_failure(error: httpx.HTTPError, url: str, timeout_s: float) -> RewardError:
    """The error for a request to `url` that got no response."""
    tls_error = _tls_error(error)
    if tls_error is not None and (tls_error.reason or "") in _NOT_TLS:
        plain = url.replace("https://", "http://", 1)
        return InvalidResponse(f"the port of {url} does not speak TLS; try {plain}")
    if isinstance(tls_error, ssl.SSLCertVerificationError):
        return InvalidResponse(f"the certificate of {url} cannot be verified: {tls_error.verify_message}")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(
            f"nothing answers at {url}; start a server with `identity-reward serve`, or give its URL"
        )
    if isinstance(error, httpx.TimeoutException):
        return DeadlineExceeded(f"no answer from {url} within {timeout_s:g} s")
    if isinstance(error, httpx.TransportError):
        return ConnectionFailed(f"the connection to {url} broke: {str(error) or type(error).__name__}")
    return InvalidResponse(f"the answer from {url} cannot be read: {error}")


def from_response(response: httpx.Response) -> RewardError:
    """The error for a response that is not a success."""
    try:
        body = ErrorResponse.model_validate_json(response.content).error
    except ValidationError:
        cls = GatewayError if response.status_code in (502, 503, 504) else InvalidResponse
        return cls(_not_this_api(response), retry_after_s=retry_after_s(response))
    return from_body(body, retry_after_s(response))


def parse(response: httpx.Response, kind: type[T]) -> T:
    """The message in a successful response; InvalidResponse if it holds another."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise InvalidResponse(f"{_not_this_api(response)} ({explain(error, max_findings=1)})") from None


def retry_after_s(response: httpx.Response, now: float | None = None) -> float | None:
    """Seconds in the Retry-After header, which is a number or a date (RFC 9110, 10.2.3); None if it has neither."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now)
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The TLS error that caused `error`, somewhere in its chain."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _not_this_api(response: httpx.Response) -> str:
    content_type = response.headers.get("Content-Type", "no content type")
    url, status = response.request.url, response.status_code
    return f"{url} answered {status} ({content_type}), not as this service does; is the URL right?"
