"""Names of what a request holds, by content: what results are kept under, and repeats are recognised by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from identity_reward_client.content import reference_set_id, video_id
from identity_reward_client.messages import CompareRequest, GroupRequest, Image, RequestBase, Video

# hashing less takes no longer than a thread's wake
_INLINE_BYTES = 1 << 16


@dataclass(frozen=True)
class Contents:
    """Ids of a request's references and videos; None and empty where nobody needs them."""

    references: str | None = None
    videos: tuple[str, ...] = ()

    def digest(self, request: RequestBase) -> str:
        """Equal for requests that ask the same of the same content. `theta` and the like count, media by their ids."""
        rest = request.model_dump_json(exclude={"references", "videos", "video", "video_a", "video_b"})
        words = (verb(request), rest, self.references or "", *self.videos)
        return sha256("\n".join(words).encode()).hexdigest()


def verb(request: RequestBase) -> str:
    """What is asked: by HTTP a request is of a class that BentoML derived from the message's."""
    if isinstance(request, GroupRequest):
        return "score_group"
    return "compare" if isinstance(request, CompareRequest) else "score"


async def name_contents(request: RequestBase, videos: Sequence[Video]) -> Contents:
    given = request.references

    def name() -> Contents:
        references = given if isinstance(given, str) else reference_set_id(given)
        return Contents(references, tuple(video_id(video) for video in videos))

    size = sum(map(_size, videos)) + (0 if isinstance(given, str) else sum(map(_picture_size, given)))
    return name() if size < _INLINE_BYTES else await asyncio.to_thread(name)


def _size(video: Video) -> int:
    if video.frames is not None:
        return memoryview(video.frames.data).nbytes
    return len(video.data or b"") + sum(map(_picture_size, video.images or ()))


def _picture_size(image: Image) -> int:
    return len(image.data or b"") if image.pixels is None else memoryview(image.pixels.data).nbytes
