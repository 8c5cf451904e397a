"""Reference sets of one server: uploaded once, and again when the server has lost them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cachetools import LRUCache

from ..errors import ReferenceSetNotFound
from ..messages import Image
from ..wire.content_ids import reference_set_id

T = TypeVar("T")
# uploaded sets whose images are kept, to upload them again
_MAX_IMAGE_SETS = 64
# uploaded sets whose ids are kept
_MAX_IDS = 4096


class ReferenceUploads:
    """Calls a server by the ids of reference sets. `put` stores one set and returns its id. For one event loop."""

    def __init__(self, put: Callable[[list[Image]], Awaitable[str]]) -> None:
        self._put = put
        self._images: LRUCache[str, list[Image]] = LRUCache(_MAX_IMAGE_SETS)
        self._ids: LRUCache[str, str] = LRUCache(_MAX_IDS)
        self._uploading: dict[str, asyncio.Lock] = {}

    async def upload(self, images: list[Image]) -> str:
        """Store the images on the server, whether it has them or not. Returns the set's id."""
        set_id = await self._put(images)
        self._images[set_id] = images
        return set_id

    async def call(self, set_id: str, request: Callable[[str], Awaitable[T]]) -> T:
        """`request` with the id, and once more if the server has lost the set and its images came from `upload`."""
        try:
            return await request(set_id)
        except ReferenceSetNotFound:
            images = self._images.get(set_id)
            if images is None:
                raise
            return await request(await self.upload(images))

    async def call_by_id(self, images: list[Image], request: Callable[[list[Image] | str], Awaitable[T]]) -> T:
        """`request` with the id of the images, which are uploaded at their first use only.

        `request` gets the images themselves if the server has lost the set, or if an image is a URL or path.
        """
        try:
            content_id = await asyncio.to_thread(reference_set_id, images)
        except ValueError:
            return await request(images)
        try:
            return await request(await self._id(content_id, images))
        except ReferenceSetNotFound:
            self._ids.pop(content_id, None)
            return await request(images)

    async def _id(self, content_id: str, images: list[Image]) -> str:
        lock = self._uploading.setdefault(content_id, asyncio.Lock())  # concurrent calls wait for one upload
        try:
            async with lock:
                set_id: str | None = self._ids.get(content_id)
                if set_id is None:
                    set_id = self._ids[content_id] = await self._put(images)
                return set_id
        finally:
            self._uploading.pop(content_id, None)
