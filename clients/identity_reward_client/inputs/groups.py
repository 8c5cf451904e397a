"""A group of which some videos fail before they are sent: each gets its typed error, the others are scored.

So a trainer keeps its step when one rollout of a group diverged into NaN frames or a file has gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..base import VideoLike
from ..errors import CallerError, InvalidRequest
from ..fps import Fps
from ..frame_sampling import FrameSampling
from ..messages import GroupResponse, Item, Video
from ..wire.error_bodies import to_body
from .media import to_video


@dataclass(frozen=True)
class PreparedGroup:
    videos: list[Video]  # those that can be sent
    indices: list[int]  # where each stands in the caller's list
    errors: dict[int, CallerError]  # the others

    def restore(self, response: GroupResponse) -> GroupResponse:
        """The answer for `videos` as one for the caller's whole list."""
        if not self.errors:
            return response
        items = {
            index: item.model_copy(update={"index": index})
            for index, item in zip(self.indices, response.items, strict=True)
        }
        items |= {index: Item(index=index, error=to_body(error)) for index, error in self.errors.items()}
        return response.model_copy(
            update={
                "items": [items[index] for index in sorted(items)],
                "win": self._spread(response.win),
                "tie": self._spread(response.tie),
            }
        )

    def _spread(self, matrix: list[list[float | None]] | None) -> list[list[float | None]] | None:
        if matrix is None:
            return None
        size = len(self.indices) + len(self.errors)
        wide: list[list[float | None]] = [[None] * size for _ in range(size)]
        for i, row in zip(self.indices, matrix, strict=True):
            for j, value in zip(self.indices, row, strict=True):
                wide[i][j] = value
        return wide


def prepare_group(videos: Sequence[VideoLike], fps: Fps | None, sampling: FrameSampling | None) -> PreparedGroup:
    """Raises the first video's error when none can be sent."""
    if not isinstance(videos, Sequence) or isinstance(videos, str | bytes):
        raise InvalidRequest(
            f"a group is a list of videos, got {type(videos).__name__}; list(...) makes one of a batch"
        )
    if not videos:
        raise InvalidRequest("a group needs at least one video")
    ready: dict[int, Video] = {}
    errors: dict[int, CallerError] = {}
    for index, video in enumerate(videos):
        try:
            ready[index] = to_video(video, fps, sampling)
        except CallerError as error:
            errors[index] = error
    if not ready:
        raise errors[0]
    return PreparedGroup(list(ready.values()), list(ready), errors)
