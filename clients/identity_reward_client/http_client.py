"""The service over HTTP. Frames travel as a raw safetensors body, everything else as JSON."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx

from . import raw_body
from .answers import check_compare, check_group, check_scored, only_item
from .base import ImageLike, ReferencesLike, VideoLike
from .call_options import PRIORITY_HEADER, Priority
from .errors import FrameIndexMismatch, InvalidRequest, ModelNotFound, ReferenceSetNotFound
from .fps import Fps
from .frame_sampling import FrameSampling
from .groups import prepare_group
from .http_errors import broken, from_answer, parse
from .inputs import needs_sampling, to_references, to_video
from .messages import (
    Answer,
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Image,
    Message,
    ModelInfo,
    ModelList,
    ReferenceSet,
    ReferenceSetResponse,
    ScoreRequest,
    ScoreResponse,
)
from .retry import RetryPolicy
from .validation import refusing

DEFAULT_URL = "http://127.0.0.1:3000"
# sets of which the pictures are kept, to send them again when a server has dropped or lost them
_KEPT_SETS = 64
T = TypeVar("T")
A = TypeVar("A", bound=Answer | ReferenceSetResponse)


class HttpRewardClient:
    """A RewardClient of the service at `url`; use it from one event loop (SyncRewardClient has its own).

    `timeout_s` bounds the wait for one answer; `retry` says how often and how long to ask again. Proxies and other
    settings of the environment are not read: pass a `transport` for those.
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
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._http = httpx.AsyncClient(
            headers={PRIORITY_HEADER: priority} | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s), pool=None),
            transport=transport,
            trust_env=False,
        )
        self._infos: list[ModelInfo] | None = None
        self._uploaded: OrderedDict[str, list[Image]] = OrderedDict()

    async def score(
        self,
        references: ReferencesLike,
        video: VideoLike,
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        details: bool = False,
    ) -> ScoreResponse:
        async def ask(references: list[Image] | str) -> ScoreResponse:
            sampling = await self._sampling(model, [video])
            clip = await asyncio.to_thread(to_video, video, fps, sampling)
            fields: dict[str, Any] = {"references": references, "prompt": prompt, "model": model, "details": details}
            with refusing():
                group = GroupRequest(**fields, videos=[clip])
                request = ScoreRequest(**fields, video=clip)
            if raw_body.can_encode(group):
                return only_item(await self._send_group(group))
            return check_scored(await self._post("/v1/score", request, ScoreResponse))

        return await self._recovering(ask, references)

    async def compare(
        self,
        references: ReferencesLike,
        video_a: VideoLike,
        video_b: VideoLike,
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        theta: float | None = None,
        details: bool = False,
    ) -> CompareResponse:
        async def ask(references: list[Image] | str) -> CompareResponse:
            sampling = await self._sampling(model, [video_a, video_b])
            a = await asyncio.to_thread(to_video, video_a, fps, sampling)
            b = await asyncio.to_thread(to_video, video_b, fps, sampling)
            fields: dict[str, Any] = {
                "references": references,
                "prompt": prompt,
                "model": model,
                "details": details,
            } | _theta(theta)
            with refusing():
                request = CompareRequest(**fields, video_a=a, video_b=b)
            return check_compare(await self._post("/v1/compare", request, CompareResponse))

        return await self._recovering(ask, references)

    async def score_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        matrices: bool = False,
        theta: float | None = None,
        details: bool = False,
    ) -> GroupResponse:
        """Videos that can't be sent (a file gone, NaN frames) get their error as items; the others are scored."""

        async def ask(references: list[Image] | str) -> GroupResponse:
            sampling = await self._sampling(model, videos)
            group = await asyncio.to_thread(prepare_group, videos, fps, sampling)
            fields: dict[str, Any] = {
                "references": references,
                "prompt": prompt,
                "model": model,
                "details": details,
            } | _theta(theta)
            with refusing():
                request = GroupRequest(**fields, videos=group.videos, matrices=matrices)
            return group.restore(await self._send_group(request))

        def outdated(response: GroupResponse) -> bool:
            return any(item.error and item.error.code == FrameIndexMismatch.code for item in response.items)

        return await self._recovering(ask, references, outdated)

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        """Stores the pictures on the server; the id stands for them in later calls."""
        images = await asyncio.to_thread(to_references, references)
        return images if isinstance(images, str) else await self._upload(images)

    async def models(self) -> list[ModelInfo]:
        self._infos = (await self._request("GET", "/v1/models", ModelList)).models
        return list(self._infos)

    async def close(self) -> None:
        await self._http.aclose()

    async def _recovering(
        self,
        ask: Callable[[list[Image] | str], Awaitable[T]],
        references: ReferencesLike,
        outdated: Callable[[T], bool] = lambda _: False,
    ) -> T:
        """`ask`, and once more when the server forgot a reference set or serves other models than it did."""
        images = await asyncio.to_thread(to_references, references)
        known = self._infos
        try:
            response = await ask(images)
        except ReferenceSetNotFound:
            kept = self._uploaded.get(images) if isinstance(images, str) else None
            if kept is None:
                raise
            return await ask(await self._upload(kept))
        except (ModelNotFound, FrameIndexMismatch):
            if not await self._changed_since(known):
                raise
            return await ask(images)
        if outdated(response) and await self._changed_since(known):
            return await ask(images)
        return response

    async def _changed_since(self, known: list[ModelInfo] | None) -> bool:
        return known is not None and await self.models() != known

    async def _sampling(self, model: str | None, videos: Sequence[VideoLike]) -> FrameSampling | None:
        if not any(needs_sampling(video) for video in videos):
            return None
        infos = self._infos if self._infos is not None else await self.models()
        for info in infos:
            if info.name == model or (model is None and info.default):
                return info.frame_sampling
        served = ", ".join(info.name for info in infos) or "none"
        wanted = "no default model" if model is None else f"no model {model!r}"
        raise ModelNotFound(f"{wanted} at {self.url}; served: {served}")

    async def _upload(self, images: list[Image]) -> str:
        body = ReferenceSet(images=images)
        set_id = (await self._request("PUT", "/v1/reference-sets", ReferenceSetResponse, body)).id
        self._uploaded[set_id] = images
        self._uploaded.move_to_end(set_id)
        while len(self._uploaded) > _KEPT_SETS:
            self._uploaded.popitem(last=False)
        return set_id

    async def _send_group(self, request: GroupRequest) -> GroupResponse:
        route = "/v1/groups:raw" if raw_body.can_encode(request) else "/v1/groups"
        return check_group(await self._post(route, request, GroupResponse), len(request.videos))

    async def _post(self, route: str, request: Message, answer: type[A]) -> A:
        return await self._request("POST", route, answer, request)

    async def _request(self, method: str, route: str, answer: type[A], message: Message | None = None) -> A:
        content, kind = await asyncio.to_thread(_encode, message)
        url = self.url + route

        async def attempt() -> A:
            try:
                response = await self._http.request(method, url, content=content, headers=kind)
            except httpx.HTTPError as error:
                raise broken(error, self.url, self._timeout_s) from None
            if response.status_code != 200:
                raise from_answer(response)
            return parse(response, answer)

        return await self._retry.run(attempt)


def _encode(message: Message | None) -> tuple[bytes | None, dict[str, str]]:
    if message is None:
        return None, {}
    if isinstance(message, GroupRequest) and raw_body.can_encode(message):
        return raw_body.encode(message), {"Content-Type": raw_body.CONTENT_TYPE}
    return message.model_dump_json(exclude_none=True).encode(), {"Content-Type": "application/json"}


def _theta(theta: float | None) -> dict[str, float]:
    return {} if theta is None else {"theta": theta}
