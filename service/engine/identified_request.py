"""A request with its media at hand, and their names by content: what results are kept under, and repeats known by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import CompareRequest, GroupRequest, Image, RequestBase, Video
from identity_reward_client.wire.content_ids import reference_set_id, video_id

from ..media.resolve import has_links

# hashing less takes no longer than a thread's wake
_INLINE_BYTES = 1 << 16


@dataclass(frozen=True)
class Asked:
    """`videos` in the request's order, an error where one could not be brought in from its URL or path. The ids are
    None and empty where nobody needs them."""

    request: RequestBase
    videos: Sequence[Video | RewardError]
    reference_id: str | None = None
    video_ids: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """By HTTP a request is of a class that BentoML derived from the message's."""
        if isinstance(self.request, GroupRequest):
            return "score_group"
        return "compare" if isinstance(self.request, CompareRequest) else "score"

    def digest(self, sent: RequestBase, videos: Sequence[Video]) -> str:
        """Equal for requests that ask the same of the same content. `theta` and the like count, media by their ids, but
        what was sent as a link by its text: what it stands for may be there now and not have been before."""
        pictures = [] if isinstance(sent.references, str) else sent.references
        linked = any(map(has_links, pictures))
        references = [one.model_dump_json() for one in pictures] if linked else [self.reference_id or ""]
        names = [
            one.model_dump_json() if has_links(one) else name for one, name in zip(videos, self.video_ids, strict=True)
        ]
        rest = self.request.model_dump_json(exclude={"references", "videos", "video", "video_a", "video_b"})
        return sha256("\n".join((self.verb, rest, *references, *names)).encode()).hexdigest()


async def name_contents(request: RequestBase, videos: Sequence[Video | RewardError]) -> Asked:
    given = request.references

    def name() -> Asked:
        reference_id = given if isinstance(given, str) else reference_set_id(given)
        names = (f"failed {n}" if isinstance(one, RewardError) else video_id(one) for n, one in enumerate(videos))
        return Asked(request, videos, reference_id, tuple(names))

    size = sum(map(_size, videos)) + (0 if isinstance(given, str) else sum(map(_picture_size, given)))
    return name() if size < _INLINE_BYTES else await asyncio.to_thread(name)


def _size(video: Video | RewardError) -> int:
    if isinstance(video, RewardError):
        return 0
    if video.frames is not None:
        return memoryview(video.frames.data).nbytes
    return len(video.data or b"") + sum(map(_picture_size, video.images or ()))


def _picture_size(image: Image) -> int:
    return len(image.data or b"") if image.pixels is None else memoryview(image.pixels.data).nbytes
