"""HTTP answers and broken connections -> errors of the tree."""

from __future__ import annotations

import math
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


class GatewayAnswer(InvalidResponse):
    """502, 503 or 504 from something in between, while the service behind it is away: worth another try."""

    retryable = True


def broken(error: httpx.HTTPError, url: str, timeout_s: float) -> RewardError:
    """What became of a request that got no answer."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(
            f"nothing answers at {url}; start a server with `identity-reward serve`, or give its URL"
        )
    if isinstance(error, httpx.TimeoutException):
        return DeadlineExceeded(f"no answer from {url} within {timeout_s:g} s")
    if isinstance(error, httpx.TransportError):
        return ConnectionFailed(f"the connection to {url} broke: {str(error) or type(error).__name__}")
    return InvalidResponse(f"the answer from {url} can't be read: {error}")


def from_answer(response: httpx.Response) -> RewardError:
    """The error that an answer other than 200 stands for."""
    try:
        body = ErrorResponse.model_validate_json(response.content).error
    except ValidationError:
        cls = GatewayAnswer if response.status_code in (502, 503, 504) else InvalidResponse
        return cls(_foreign(response), retry_after_s=retry_after_s(response))
    return from_body(body, retry_after_s(response))


def parse(response: httpx.Response, answer: type[T]) -> T:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise InvalidResponse(f"{_foreign(response)} ({explain(error, most=1)})") from None


def retry_after_s(response: httpx.Response, now: float | None = None) -> float | None:
    """Seconds that Retry-After asks to wait: a number or a date (RFC 9110, 10.2.3); None where it says nothing."""
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


def _foreign(response: httpx.Response) -> str:
    kind = response.headers.get("Content-Type", "no content type")
    url, status = response.request.url, response.status_code
    return f"{url} answered {status} ({kind}), and not as this service does; is the URL right?"
