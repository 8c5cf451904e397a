"""Partial groups: a video that cannot be sent gets an error as its item, and the others are scored.

A training step keeps its other rewards if one rollout has diverged to NaN frames or a file is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..base import VideoLike
from ..errors import CallerError, InvalidRequest
from ..fields.fps import Fps
from ..frame_sampling import FrameSampling
from ..messages import GroupResponse, Item, Video
from ..wire.error_bodies import to_body
from .media import to_video


@dataclass(frozen=True)
class PreparedGroup:
    """The videos of a group as messages."""

    videos: list[Video]  # without those that cannot be sent
    indices: list[int]  # of each video in the caller's list
    errors: dict[int, CallerError]  # of the other videos, by index in the caller's list

    def restore(self, response: GroupResponse) -> GroupResponse:
        """The response for `videos` as a response for the caller's whole list."""
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
                "win": self._with_gaps(response.win),
                "tie": self._with_gaps(response.tie),
            }
        )

    def _with_gaps(self, matrix: list[list[float | None]] | None) -> list[list[float | None]] | None:
        if matrix is None:
            return None
        size = len(self.indices) + len(self.errors)
        full_matrix: list[list[float | None]] = [[None] * size for _ in range(size)]
        for i, row in zip(self.indices, matrix, strict=True):
            for j, value in zip(self.indices, row, strict=True):
                full_matrix[i][j] = value
        return full_matrix


def prepare_group(videos: Sequence[VideoLike], fps: Fps | None, sampling: FrameSampling | None) -> PreparedGroup:
    """The videos as messages, see `to_video`. Raises the first video's error if none of them can be sent."""
    if not isinstance(videos, Sequence) or isinstance(videos, str | bytes):
        raise InvalidRequest(f"a group is a list of videos, got {type(videos).__name__}; call list(...) on a batch")
    if not videos:
        raise InvalidRequest("a group needs at least one video")
    messages: dict[int, Video] = {}
    errors: dict[int, CallerError] = {}
    for index, video in enumerate(videos):
        try:
            messages[index] = to_video(video, fps, sampling)
        except CallerError as error:
            errors[index] = error
    if not messages:
        raise errors[0]
    return PreparedGroup(list(messages.values()), list(messages), errors)
