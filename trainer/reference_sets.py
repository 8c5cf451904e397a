"""Pictures of people travel once: afterwards their set goes by its id."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TypeVar

from identity_reward_client.base import ReferencesLike, RewardClient
from identity_reward_client.errors import ReferenceSetNotFound
from identity_reward_client.inputs.media import to_references
from identity_reward_client.messages import Image

T = TypeVar("T")
_KEPT_IDS = 4096


class ReferenceSets:
    """Asks one client by id, with sets that it uploads at their first use. For one event loop."""

    def __init__(self, client: RewardClient):
        self._client = client
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._uploading: dict[str, asyncio.Lock] = {}

    async def ask(self, references: ReferencesLike, call: Callable[[ReferencesLike], Awaitable[T]]) -> T:
        """`call` with the set's id; with the pictures themselves when the service keeps losing the set."""
        images = await asyncio.to_thread(to_references, references)
        if isinstance(images, str):
            return await call(images)
        content = await asyncio.to_thread(_content_key, images)
        try:
            return await call(await self._id(content, images))
        except ReferenceSetNotFound:
            self._ids.pop(content, None)
            return await call(images)

    async def _id(self, content: str, images: list[Image]) -> str:
        lock = self._uploading.setdefault(content, asyncio.Lock())  # groups of one set wait for the first's upload
        try:
            async with lock:
                if content not in self._ids:
                    self._ids[content] = await self._client.put_references(images)
                self._ids.move_to_end(content)
                while len(self._ids) > _KEPT_IDS:
                    self._ids.popitem(last=False)
                return self._ids[content]
        finally:
            self._uploading.pop(content, None)


def _content_key(images: list[Image]) -> str:
    digest = sha256()
    for image in images:
        if image.pixels is not None:
            parts: tuple[bytes | memoryview, ...] = (repr(image.pixels.shape).encode(), memoryview(image.pixels.data))
        elif image.data is not None:
            parts = (b"file", memoryview(image.data))
        else:
            parts = (b"place", repr((image.url, image.path)).encode())
        for part in parts:
            digest.update(memoryview(part).nbytes.to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()
