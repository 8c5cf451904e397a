"""Pictures and videos given as a URL or path, to the same messages with their bytes: before anything looks at them."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import Image, RequestBase, Video

from ..errors import typed
from ..settings.settings import Settings
from .decoding import over
from .images import refuse_links
from .input_budget import Allowance
from .local_paths import read_path
from .url_fetch import Fetcher

Medium = TypeVar("Medium", Image, Video)


class Links:
    """Off until `url_hosts` or `path_roots` names something. Blocking; safe from several threads."""

    def __init__(self, settings: Settings, ssl_context: ssl.SSLContext | None = None):
        """`ssl_context`: the certificates that URLs' hosts are checked by, the system's when absent."""
        self._settings = settings
        self._roots = [Path(text) for text in settings.media.path_roots]
        self._fetcher = Fetcher(settings.urls, ssl_context) if settings.urls.hosts else None
        # a slow host keeps none of the threads that decode
        self.pool = ThreadPoolExecutor(8, thread_name_prefix="fetch")

    def allowance(self, deadline: float = math.inf) -> Allowance:
        """For one request, whose links it bounds together."""
        return Allowance(self._settings.requests.max_body_bytes, deadline)

    def resolve(self, medium: Medium, what: str, allowance: Allowance) -> Medium:
        """The message with `data` where it had a URL or path, and as it is where it had none.

        InputRefused for what the settings don't allow or can't be had, LimitExceeded for too many bytes.
        """
        images = medium.images if isinstance(medium, Video) else None
        if images is not None and any(map(is_link, images)):
            if len(images) > self._settings.media.max_sent_frames:
                raise over("frames sent for one video", len(images), "max_sent_frames", self._settings.media)
            inner = [self.resolve(image, f"frame {i}", allowance) for i, image in enumerate(images)]
            return medium.model_copy(update={"images": inner})
        data = self.bytes_of(medium, what, allowance)
        return medium if data is None else medium.model_copy(update={"data": data, "url": None, "path": None})

    def bytes_of(self, medium: Image | Video, what: str, allowance: Allowance) -> bytes | None:
        """What its URL or path stands for; None where it has neither."""
        if medium.url is not None and self._fetcher is not None:
            return self._fetcher.get(medium.url, what, allowance)
        if medium.path is not None and self._roots:
            return read_path(medium.path, self._roots, what, allowance)
        refuse_links(medium, what)
        return None

    async def bring(
        self, request: RequestBase, videos: Sequence[Video], deadline: float
    ) -> tuple[RequestBase, Sequence[Video | RewardError]]:
        """The request with its pictures, and its videos, each here or the error that stands in its way; an error of the
        references is raised. Neither is changed where everything is here already."""
        pictures = [] if isinstance(request.references, str) else request.references
        if not any(map(has_links, pictures)) and not any(map(has_links, videos)):
            return request, videos
        allowance = self.allowance(deadline)
        if pictures:
            images = await self.bring_pictures(pictures, allowance)
            request = request.model_copy(update={"references": images})
        waiting = (self._bring_one(video, "the video", allowance) for video in videos)
        brought = await asyncio.gather(*waiting, return_exceptions=True)
        return request, [one if isinstance(one, Video) else typed(one) for one in brought]

    async def bring_pictures(self, images: Sequence[Image], allowance: Allowance) -> list[Image]:
        """References with their bytes; the first that can't be had is raised."""
        waiting = (self._bring_one(image, f"reference {i}", allowance) for i, image in enumerate(images))
        return await asyncio.gather(*waiting)

    async def _bring_one(self, medium: Medium, what: str, allowance: Allowance) -> Medium:
        if not has_links(medium):
            return medium
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self.resolve, medium, what, allowance)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self._fetcher is not None:
            self._fetcher.close()


def has_links(medium: Image | Video) -> bool:
    """Whether some of it stands elsewhere."""
    return is_link(medium) or any(map(is_link, getattr(medium, "images", None) or ()))


def is_link(medium: Image | Video) -> bool:
    return medium.url is not None or medium.path is not None
