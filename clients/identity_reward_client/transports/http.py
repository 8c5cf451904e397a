"""Client of the service over HTTP. Frames travel in a safetensors body, everything else as JSON."""

from __future__ import annotations

import asyncio
import uuid
from typing import TypeVar

import httpx

from ..errors import InvalidRequest
from ..messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Message,
    ModelInfo,
    ModelList,
    ReferenceSet,
    ReferenceSetResponse,
    ResponseMessage,
    ScoreRequest,
    ScoreResponse,
)
from ..wire import raw_body
from ..wire.content_ids import references_of
from ..wire.headers import (
    IDEMPOTENCY_HEADER,
    PRIORITY_HEADER,
    REFERENCE_SET_HEADER,
    TIMEOUT_HEADER,
    Priority,
    authorization,
)
from .http_errors import from_failure, from_response, parse
from .remote import RemoteRewardClient
from .responses import check_group, only_item
from .retry import RetryPolicy

DEFAULT_URL = "http://127.0.0.1:3000"
A = TypeVar("A", bound=ResponseMessage | ReferenceSetResponse)
# fields that a ScoreRequest and a GroupRequest have in common
_SHARED_FIELDS = ("references", "prompt", "model", "details")


def service_url(url: str) -> str:
    """The URL without a slash at its end. InvalidRequest if it is not http:// or https:// with a host."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"{url!r} is not a URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidRequest(f"the service's URL looks like {DEFAULT_URL}, got {url!r}")
    return url.rstrip("/")


def open_http(
    timeout_s: float, token: str | None, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Connections that send the token and read nothing from the environment."""
    credentials = authorization(token)
    return httpx.AsyncClient(
        headers=None if credentials is None else {"Authorization": credentials},
        timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s), pool=None),
        transport=transport,
        trust_env=False,
    )


class HttpRewardClient(RemoteRewardClient):
    """A `RewardClient` of the service at `url`, for one event loop (`SyncRewardClient` has one of its own).

    Args:
        url: http:// or https:// address of the service.
        timeout_s: seconds to wait for one answer; the server stops working on a request after them too.
        retry: how often, and for how long, a failed request is repeated.
        token: bearer token, for a service that asks for one. White space around it is removed.
        priority: scheduling class of this client's requests.
        transport: replaces httpx's own, for example to go through a proxy: the environment's proxy settings are not
            read.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
        token: str | None = None,
        priority: Priority = "interactive",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = service_url(url)
        super().__init__(self.url, timeout_s, retry, priority)
        self._http = open_http(timeout_s, token, transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send_score(self, request: ScoreRequest) -> ScoreResponse:
        group = GroupRequest(**{name: getattr(request, name) for name in _SHARED_FIELDS}, videos=[request.video])
        if raw_body.can_encode(group):
            return only_item(check_group(await self._send_group(group), 1))
        return await self._post("/v1/score", request, ScoreResponse)

    async def _send_compare(self, request: CompareRequest) -> CompareResponse:
        return await self._post("/v1/compare", request, CompareResponse)

    async def _send_group(self, request: GroupRequest) -> GroupResponse:
        route = "/v1/groups:raw" if raw_body.can_encode(request) else "/v1/groups"
        return await self._post(route, request, GroupResponse)

    async def _send_references(self, request: ReferenceSet) -> str:
        return (await self._request("PUT", "/v1/reference-sets", ReferenceSetResponse, request)).id

    async def _fetch_models(self) -> list[ModelInfo]:
        return (await self._request("GET", "/v1/models", ModelList)).models

    async def _post(self, route: str, request: Message, answer: type[A]) -> A:
        # one key for all attempts: a server that has already scored the request need not score it again
        headers = {
            PRIORITY_HEADER: self._priority,
            TIMEOUT_HEADER: f"{self._timeout_s:.3f}",
            IDEMPOTENCY_HEADER: uuid.uuid4().hex,
        }
        return await self._request("POST", route, answer, request, headers)

    async def _request(
        self,
        method: str,
        route: str,
        answer: type[A],
        message: Message | None = None,
        headers: dict[str, str] | None = None,
    ) -> A:
        content, kind = await asyncio.to_thread(_encode, message)
        url = self.url + route

        async def attempt() -> A:
            try:
                response = await self._http.request(method, url, content=content, headers=kind | (headers or {}))
            except httpx.HTTPError as error:
                raise from_failure(error, self.url, self._timeout_s) from None
            if response.status_code != 200:
                raise from_response(response)
            return parse(response, answer)

        return await self._retry.run(attempt)


def _encode(message: Message | None) -> tuple[bytes | None, dict[str, str]]:
    if message is None:
        return None, {}
    set_id = references_of(message)
    headers = {} if set_id is None else {REFERENCE_SET_HEADER: set_id}
    if isinstance(message, GroupRequest) and raw_body.can_encode(message):
        return raw_body.encode(message), headers | {"Content-Type": raw_body.CONTENT_TYPE}
    return message.model_dump_json(exclude_none=True).encode(), headers | {"Content-Type": "application/json"}
