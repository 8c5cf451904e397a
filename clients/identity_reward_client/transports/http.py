"""The service over HTTP. Frames travel as a raw safetensors body, everything else as JSON."""

from __future__ import annotations

import asyncio
import uuid
from typing import TypeVar

import httpx

from ..errors import InvalidRequest
from ..messages import (
    Answer,
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Message,
    ModelInfo,
    ModelList,
    ReferenceSet,
    ReferenceSetResponse,
    ScoreRequest,
    ScoreResponse,
)
from ..wire import raw_body
from ..wire.content_ids import references_of
from ..wire.headers import IDEMPOTENCY_HEADER, PRIORITY_HEADER, REFERENCE_SET_HEADER, TIMEOUT_HEADER, Priority
from .http_errors import broken, from_answer, parse
from .remote import RemoteRewardClient
from .responses import check_group, only_item
from .retry import RetryPolicy

DEFAULT_URL = "http://127.0.0.1:3000"
A = TypeVar("A", bound=Answer | ReferenceSetResponse)


class HttpRewardClient(RemoteRewardClient):
    """A RewardClient of the service at `url`; use it from one event loop (SyncRewardClient has its own).

    `timeout_s` bounds the wait for one answer, and is told to the server; `retry` says how often and how long to ask
    again; `priority` how urgent this client's calls are. Proxies and other settings of the environment are not read:
    pass a `transport` for those.
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
    ):
        self.url = url.rstrip("/")
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise InvalidRequest(f"{url!r} is no URL: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidRequest(f"the service's URL looks like {DEFAULT_URL}, got {url!r}")
        super().__init__(self.url, timeout_s, retry, priority)
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s), pool=None),
            transport=transport,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def _send_score(self, request: ScoreRequest) -> ScoreResponse:
        group = GroupRequest(**{name: getattr(request, name) for name in _SHARED}, videos=[request.video])
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
        """With one key for all tries, so that a server that has scored it already need not do so again."""
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
                raise broken(error, self.url, self._timeout_s) from None
            if response.status_code != 200:
                raise from_answer(response)
            return parse(response, answer)

        return await self._retry.run(attempt)


_SHARED = ("references", "prompt", "model", "details")


def _encode(message: Message | None) -> tuple[bytes | None, dict[str, str]]:
    if message is None:
        return None, {}
    set_id = references_of(message)
    headers = {} if set_id is None else {REFERENCE_SET_HEADER: set_id}
    if isinstance(message, GroupRequest) and raw_body.can_encode(message):
        return raw_body.encode(message), headers | {"Content-Type": raw_body.CONTENT_TYPE}
    return message.model_dump_json(exclude_none=True).encode(), headers | {"Content-Type": "application/json"}
