"""Bulk jobs over HTTP: a manifest is left with the service, which works it off when nobody is in a hurry."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from urllib.parse import quote

import httpx

from ..errors import InvalidRequest, InvalidResponse
from ..wire.content_ids import references_of
from ..wire.headers import IDEMPOTENCY_HEADER
from ..wire.job_messages import NDJSON, JobInfo, JobItem, JobList, JobResult
from .http import DEFAULT_URL
from .http_errors import broken, from_answer, parse
from .responses import check_scored
from .retry import RetryPolicy

_PAGE = 1000


def encode_manifest(items: Iterable[JobItem]) -> bytes:
    """JSONL. Pictures that several items share travel once: later lines name them by their id."""
    manifest = bytearray()
    sent: set[str] = set()
    for item in items:
        if (name := references_of(item)) is not None:
            if name in sent:
                item = item.model_copy(update={"references": name})
            sent.add(name)
        manifest += item.model_dump_json(exclude_none=True).encode() + b"\n"
    return bytes(manifest)


class JobsClient:
    """Jobs of the service at `url`; use it from one event loop. Every failure is a RewardError."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise InvalidRequest(f"the service's URL looks like {DEFAULT_URL}, got {url!r}")
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s), pool=None),
            transport=transport,
            trust_env=False,
        )

    async def submit(self, items: Iterable[JobItem], *, key: str | None = None) -> JobInfo:
        """Leaves the items with the service. Calls with the same `key` and items make one job, whatever breaks."""
        manifest = await asyncio.to_thread(encode_manifest, items)
        headers = {"Content-Type": NDJSON, IDEMPOTENCY_HEADER: key or uuid.uuid4().hex}
        return parse(await self._request("POST", "/v1/jobs", content=manifest, headers=headers), JobInfo)

    async def info(self, job: str) -> JobInfo:
        return parse(await self._request("GET", _route(job)), JobInfo)

    async def list(self) -> AsyncIterator[JobInfo]:
        """The newest first."""
        query: dict[str, str] = {}
        while True:
            page = parse(await self._request("GET", "/v1/jobs", params=query), JobList)
            for info in page.jobs:
                yield info
            if page.next is None:
                return
            query["after"] = page.next

    async def cancel(self, job: str) -> JobInfo:
        """Nothing more of it is scored; its results stay."""
        return parse(await self._request("DELETE", _route(job)), JobInfo)

    async def results(self, job: str, after: int = 0) -> AsyncIterator[JobResult]:
        """What there is so far, in the order in which it came, from behind number `after`."""
        while True:
            query = {"after": str(after), "limit": str(_PAGE)}
            answer = await self._request("GET", _route(job) + "/results", params=query)
            lines = answer.content.splitlines()
            for line in lines:
                result = _result(line, after)
                after = result.number
                yield result
            if len(lines) < _PAGE:
                return

    async def wait(
        self, job: str, on_progress: Callable[[JobInfo], None] = lambda info: None, every_s: float = 1.0
    ) -> JobInfo:
        """Returns when the job is done or cancelled."""
        while True:
            info = await self.info(job)
            on_progress(info)
            if info.finished:
                return info
            await asyncio.sleep(every_s)

    async def close(self) -> None:
        await self._http.aclose()

    async def _request(self, method: str, route: str, **options) -> httpx.Response:
        async def attempt() -> httpx.Response:
            try:
                response = await self._http.request(method, self.url + route, **options)
            except httpx.HTTPError as error:
                raise broken(error, self.url, self._timeout_s) from None
            if not response.is_success:
                raise from_answer(response)
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
