"""A request with its media as bytes, and their ids by content."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import CompareRequest, GroupRequest, Image, RequestBase, Video
from identity_reward_client.wire.content_ids import reference_set_id, video_id
from identity_reward_client.wire.duplicates import refuse_duplicates

from ..media.resolve import Links, has_links

# below this size, hashing takes less time than waking a thread
_INLINE_BYTES = 1 << 16


@dataclass(frozen=True)
class ResolvedRequest:
    """A request whose references and videos hold their bytes."""

    # as it was sent, perhaps with URLs and paths
    sent: RequestBase
    sent_videos: Sequence[Video]
    # with bytes instead of URLs and paths
    request: RequestBase
    # in the request's order; an error where a URL or path could not be read
    videos: Sequence[Video | RewardError]
    # ids by content; None and empty where they aren't needed
    reference_id: str | None = None
    video_ids: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """`score`, `compare` or `score_group`; BentoML passes subclasses of the messages."""
        if isinstance(self.request, GroupRequest):
            return "score_group"
        return "compare" if isinstance(self.request, CompareRequest) else "score"

    def digest(self) -> str:
        """Equal for requests with the same verb, content and options.

        Media count by their ids. What was sent as a link counts by its text: its content may have changed in between.
        """
        images = [] if isinstance(self.sent.references, str) else self.sent.references
        linked = any(map(has_links, images))
        references = [image.model_dump_json() for image in images] if linked else [self.reference_id or ""]
        videos = [
            video.model_dump_json() if has_links(video) else identity
            for video, identity in zip(self.sent_videos, self.video_ids, strict=True)
        ]
        options = self.request.model_dump_json(exclude={"references", "videos", "video", "video_a", "video_b"})
        return sha256("\n".join((self.verb, options, *references, *videos)).encode()).hexdigest()


async def resolve(
    sent: RequestBase, sent_videos: Sequence[Video], links: Links, deadline: float, with_ids: bool
) -> ResolvedRequest:
    """Read URLs and paths, and compute ids if `with_ids`. Raises errors of the references; those of videos are kept."""
    request, videos = await links.resolve_request(sent, sent_videos, deadline)
    references = request.references
    if not isinstance(references, str):
        refuse_duplicates(references)
    if not with_ids:
        return ResolvedRequest(sent, sent_videos, request, videos)

    def identify() -> ResolvedRequest:
        reference_id = references if isinstance(references, str) else reference_set_id(references)
        ids = tuple(
            f"failed {index}" if isinstance(video, RewardError) else video_id(video)
            for index, video in enumerate(videos)
        )
        return ResolvedRequest(sent, sent_videos, request, videos, reference_id, ids)

    num_bytes = sum(map(_video_bytes, videos))
    if not isinstance(references, str):
        num_bytes += sum(map(_image_bytes, references))
    return identify() if num_bytes < _INLINE_BYTES else await asyncio.to_thread(identify)


def _video_bytes(video: Video | RewardError) -> int:
    if isinstance(video, RewardError):
        return 0
    if video.frames is not None:
        return memoryview(video.frames.data).nbytes
    return len(video.data or b"") + sum(map(_image_bytes, video.images or ()))


def _image_bytes(image: Image) -> int:
    return len(image.data or b"") if image.pixels is None else memoryview(image.pixels.data).nbytes
