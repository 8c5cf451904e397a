"""Client of the bulk jobs of a service, over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from urllib.parse import quote

import httpx

from ..errors import InvalidResponse
from ..wire.content_ids import references_of
from ..wire.headers import IDEMPOTENCY_HEADER
from ..wire.job_messages import NDJSON, JobInfo, JobItem, JobList, JobResult
from .http import DEFAULT_URL, open_http, service_url
from .http_errors import from_failure, from_response, parse
from .responses import check_scored
from .retry import RetryPolicy

_PAGE_SIZE = 1000


def encode_manifest(items: Iterable[JobItem]) -> bytes:
    """The items as JSONL. Images that several items share are sent once: later lines have the id of their set."""
    manifest = bytearray()
    sent_ids: set[str] = set()
    for item in items:
        line_item = item
        if (set_id := references_of(item)) is not None:
            if set_id in sent_ids:
                line_item = item.model_copy(update={"references": set_id})
            sent_ids.add(set_id)
        manifest += line_item.model_dump_json(exclude_none=True).encode() + b"\n"
    return bytes(manifest)


class JobsClient:
    """Jobs of the service at `url`, for one event loop. Arguments as of `HttpRewardClient`.

    Every failure raises a `RewardError`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = service_url(url)
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._http = open_http(timeout_s, token, transport)

    async def submit(self, items: Iterable[JobItem], *, key: str | None = None) -> JobInfo:
        """Create a job. Repeated calls with the same `key` and items create one job."""
        manifest = await asyncio.to_thread(encode_manifest, items)
        headers = {"Content-Type": NDJSON, IDEMPOTENCY_HEADER: key or uuid.uuid4().hex}
        return parse(await self._request("POST", "/v1/jobs", content=manifest, headers=headers), JobInfo)

    async def info(self, job: str) -> JobInfo:
        """The state and the counts of a job."""
        return parse(await self._request("GET", _route(job)), JobInfo)

    async def list(self) -> AsyncIterator[JobInfo]:
        """The jobs that the service keeps, the newest first."""
        query: dict[str, str] = {}
        while True:
            page = parse(await self._request("GET", "/v1/jobs", params=query), JobList)
            for info in page.jobs:
                yield info
            if page.next is None:
                return
            query["after"] = page.next

    async def cancel(self, job: str) -> JobInfo:
        """Stop scoring the job's items. Its results are kept."""
        return parse(await self._request("DELETE", _route(job)), JobInfo)

    async def results(self, job: str, after: int = 0) -> AsyncIterator[JobResult]:
        """Results so far, in the order in which they were computed, from number `after` + 1 on."""
        while True:
            query = {"after": str(after), "limit": str(_PAGE_SIZE)}
            response = await self._request("GET", _route(job) + "/results", params=query)
            lines = response.content.splitlines()
            for line in lines:
                result = _result(line, after)
                after = result.number
                yield result
            if len(lines) < _PAGE_SIZE:
                return

    async def wait(
        self, job: str, on_progress: Callable[[JobInfo], None] = lambda info: None, every_s: float = 1.0
    ) -> JobInfo:
        """Ask for the job's state every `every_s` seconds until it is done or cancelled. Returns the last state."""
        while True:
            info = await self.info(job)
            on_progress(info)
            if info.finished:
                return info
            await asyncio.sleep(every_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _request(self, method: str, route: str, **options: Any) -> httpx.Response:
        async def attempt() -> httpx.Response:
            try:
                response = await self._http.request(method, self.url + route, **options)
            except httpx.HTTPError as error:
                raise from_failure(error, self.url, self._timeout_s) from None
            if not response.is_success:
                raise from_response(response)
            return response

        return await self._retry.run(attempt)


def _route(job: str) -> str:
    return f"/v1/jobs/{quote(job, safe='')}"


def _result(line: bytes, after: int) -> JobResult:
    try:
        result = JobResult.model_validate_json(line)
    except ValueError:
        raise InvalidResponse("a line of the results isn't a result") from None
    if result.number <= after or (result.scored is None) == (result.error is None):
        raise InvalidResponse(f"result {result.number} is out of order, or not one of scored and error")
    if result.scored is not None:
        check_scored(result.scored)
    return result
