"""The HTTP API as one ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from identity_reward_client import errors

from ..auth.authenticator import Authenticator
from ..engine.call_fields import read_call, read_timeout, request_id
from ..errors import to_reward_error
from ..operations.drain import InFlight
from ..operations.logging import current_request_id, log_access
from ..scheduling.call import Call
from ..settings.settings import Settings
from .body import RequestBody, check_content_type, decode
from .paths import PathRoutes, find_path, group_by_path
from .request import ApiRequest, Services
from .responses import ResponseWriter, json_response
from .route import Route

T = TypeVar("T")


class HttpApplication:
    """Answers every HTTP request of the process and closes WebSockets.

    The stages of a request: time limit, token, call fields, route, content type, admission, body, handler. A caller
    without a token cannot find out which paths exist, and a body is read only when every check before it has passed.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        services: Services,
        settings: Settings,
        authenticator: Authenticator,
        in_flight: InFlight,
    ) -> None:
        self._paths = group_by_path(routes)
        self._services = services
        self._settings = settings
        self._authenticator = authenticator
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        started = time.monotonic()
        headers = Headers(scope=scope)
        path, path_params = find_path(self._paths, scope["path"])
        call = Call(request_id(headers))
        engine = self._services.engine
        body = RequestBody(
            headers, receive, self._settings.requests.max_body_bytes, None if engine is None else engine.body_capacity
        )
        writer = ResponseWriter(send, call.request_id, body)
        error: errors.RewardError | None = None
        token = current_request_id.set(call.request_id)
        timeout_s = self._settings.requests.request_timeout_s
        try:
            try:
                timeout_s = read_timeout(headers, timeout_s)
                async with self._in_flight.limited(timeout_s):
                    call = self._read_call(scope, headers, path, call.request_id)
                    response = await self._respond(scope, path, path_params, call, body)
                    await writer.send(response, scope, receive)
            except TimeoutError:
                error = errors.DeadlineExceeded(f"not answered within {timeout_s:g} s", retry_after_s=1)
            except Exception as failure:
                error = to_reward_error(failure)
            if error is not None:
                error = error.with_traceback(None)  # its frames hold the request's bytes
                await writer.send_error(error, path.allow)
        finally:
            body.release()
            seconds = time.monotonic() - started
            code = None if error is None else error.code
            self._services.metrics.count_request(path.label, str(writer.status), code, seconds)
            if self._settings.operations.access_log:
                log_access(call, path.label, writer.status, code, seconds)
            current_request_id.reset(token)

    def _read_call(self, scope: Scope, headers: Headers, path: PathRoutes, identity: str) -> Call:
        """Raises Unauthenticated, PermissionDenied, InvalidRequest."""
        name = None
        if not (self._settings.auth.open_probes and path.probe):
            name = self._authenticator.check(", ".join(headers.getlist("authorization")) or None, path.scope)
        client = name or (scope.get("client") or ("unknown", 0))[0]
        call = read_call(headers, identity, client, self._settings.requests.request_timeout_s)
        return replace(call, admin=self._authenticator.is_admin(name))

    async def _respond(
        self, scope: Scope, path: PathRoutes, path_params: Mapping[str, str], call: Call, body: RequestBody
    ) -> Response:
        route = path.route(scope["method"])
        query = QueryParams(scope["query_string"])
        if route.request is None:
            return await _handle(route, ApiRequest(None, call, path_params, query, self._services))
        check_content_type(Headers(scope=scope), route)
        if self._services.engine is not None and route.scores:
            self._services.engine.check_capacity(call)
        message = await decode(route, await body.read())
        request = ApiRequest(message, call, path_params, query, self._services)
        return await _unless_disconnected(_handle(route, request), body)


async def _handle(route: Route, request: ApiRequest[object]) -> Response:
    try:
        result = await route.handler(request)
    except TimeoutError as error:  # the handler's own; the request's limit arrives as a cancellation
        raise to_reward_error(error) from None
    return result if isinstance(result, Response) else json_response(result, route.status)


async def _unless_disconnected(work: Awaitable[T], body: RequestBody) -> T:
    """The result of `work`, which is cancelled when the client disconnects; that raises Cancelled."""
    work_task = asyncio.ensure_future(work)
    disconnect_task = asyncio.ensure_future(body.wait_disconnected())
    try:
        await asyncio.wait({work_task, disconnect_task}, return_when=asyncio.FIRST_COMPLETED)
        if not work_task.done():
            raise errors.Cancelled("the client went away before its answer")
        return work_task.result()
    finally:
        disconnect_task.cancel()
        if not work_task.done():
            work_task.cancel()
            await asyncio.wait({work_task})
