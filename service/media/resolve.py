"""Images and videos behind URLs and paths, as messages that hold their bytes."""

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

from ..errors import to_reward_error
from ..settings.settings import Settings
from .decoding import limit_exceeded
from .images import refuse_links
from .input_budget import InputBudget
from .local_paths import read_path
from .url_fetch import Fetcher

Medium = TypeVar("Medium", Image, Video)

# threads of their own: a slow host must not occupy those that decode
_NUM_THREADS = 8


class Links:
    """Reads URLs and paths in threads. Both are refused unless `url_hosts` and `path_roots` allow some."""

    def __init__(self, settings: Settings, ssl_context: ssl.SSLContext | None = None):
        """`ssl_context` holds the certificate authorities that are trusted; the system's if None."""
        self._settings = settings
        self._roots = [Path(root) for root in settings.media.path_roots]
        self._fetcher = Fetcher(settings.urls, ssl_context) if settings.urls.hosts else None
        self.pool = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="fetch")

    def budget(self, deadline: float = math.inf) -> InputBudget:
        """The budget that all links of one request share."""
        return InputBudget(self._settings.requests.max_body_bytes, deadline)

    async def resolve_request(
        self, request: RequestBase, videos: Sequence[Video], deadline: float
    ) -> tuple[RequestBase, Sequence[Video | RewardError]]:
        """The request and its videos with bytes instead of links; both are returned as they are without links.

        A video that can't be read becomes its error; the error of a reference is raised.
        """
        images = [] if isinstance(request.references, str) else request.references
        if not any(map(has_links, images)) and not any(map(has_links, videos)):
            return request, videos
        budget = self.budget(deadline)
        if images:
            request = request.model_copy(update={"references": await self.resolve_images(images, budget)})
        reads = (self._resolve_in_thread(video, "the video", budget) for video in videos)
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
        return request, [outcome if isinstance(outcome, Video) else to_reward_error(outcome) for outcome in outcomes]

    async def resolve_images(self, images: Sequence[Image], budget: InputBudget) -> list[Image]:
        """Reference images with their bytes; the first one that can't be read is raised."""
        reads = (self._resolve_in_thread(image, f"reference {i}", budget) for i, image in enumerate(images))
        return await asyncio.gather(*reads)

    async def _resolve_in_thread(self, medium: Medium, label: str, budget: InputBudget) -> Medium:
        if not has_links(medium):
            return medium
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self.resolve, medium, label, budget)

    def resolve(self, medium: Medium, label: str, budget: InputBudget) -> Medium:
        """The message with `data` instead of its URL or path. Blocks; may be called from several threads.

        Raises InputRefused for what the settings don't allow or what can't be read, LimitExceeded for too many bytes.
        """
        images = medium.images if isinstance(medium, Video) else None
        if images is not None and any(map(is_link, images)):
            limits = self._settings.media
            if len(images) > limits.max_sent_frames:
                raise limit_exceeded("frames sent for one video", len(images), "max_sent_frames", limits)
            resolved = [self.resolve(image, f"frame {i}", budget) for i, image in enumerate(images)]
            return medium.model_copy(update={"images": resolved})
        data = self._read(medium, label, budget)
        return medium if data is None else medium.model_copy(update={"data": data, "url": None, "path": None})

    def _read(self, medium: Image | Video, label: str, budget: InputBudget) -> bytes | None:
        """Content of the URL or path of a message; None without either."""
        if medium.url is not None and self._fetcher is not None:
            return self._fetcher.get(medium.url, label, budget)
        if medium.path is not None and self._roots:
            return read_path(medium.path, self._roots, label, budget)
        refuse_links(medium, label)
        return None

    def close(self) -> None:
        """Free the threads; running reads are abandoned."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self._fetcher is not None:
            self._fetcher.close()


def has_links(medium: Image | Video) -> bool:
    """Whether the message, or an image of it, is a URL or path."""
    return is_link(medium) or any(map(is_link, getattr(medium, "images", None) or ()))


def is_link(medium: Image | Video) -> bool:
    """Whether the message itself is a URL or path."""
    return medium.url is not None or medium.path is not None
