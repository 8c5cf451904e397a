"""What the middleware and the routes know of the request that is being answered, and how answers are written."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from contextvars import ContextVar
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.responses import Response

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import ErrorResponse

from ..errors import body, typed
from ..scheduling.call import Call


@dataclass
class Exchange:
    call: Call
    # set where an error is answered: tells the middleware that the body has its shape already
    error: RewardError | None = None


current: ContextVar[Exchange] = ContextVar("exchange")


def json_response(message: BaseModel, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status, media_type="application/json")


def error_response(error: RewardError) -> Response:
    # without the frames that it came through: they hold the request's bytes
    current.get().error = error.with_traceback(None)
    response = json_response(ErrorResponse(error=body(error)), error.http_status)
    if error.http_status in (429, 503) or error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if error.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def answer(work: Awaitable[BaseModel], status: int = 200) -> Response:
    """The awaited message as JSON, or its error in the one shape of errors."""
    try:
        return json_response(await work, status)
    except Exception as error:
        return error_response(typed(error))
