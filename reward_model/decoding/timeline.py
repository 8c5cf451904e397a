"""When the frames of a clip are shown, and which frame an index means. Pure Python.

Frames are numbered in the order in which they are shown. In a clip of constant frame rate, index i is frame i. A clip
whose frames leave that grid by half an interval or more has a variable frame rate: its rate is then
frames / duration, and index i is the frame that is shown in the middle of the i-th interval of that rate. An index of
such a clip is a point in time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from identity_reward_client.errors import InvalidMedia

# the default limit above which a probe decodes no frame; every sane limit on frames is lower
MAX_PROBED_PIXELS = 1 << 26


@dataclass(frozen=True)
class VideoProbe:
    """Properties of a file that are known before its frames are decoded.

    `width` and `height` are those of the frames as shown, in square pixels and after `rotation`.
    """

    container: str
    codec: str
    width: int
    height: int
    num_frames: int
    fps: float
    duration_s: float
    # degrees counter-clockwise by which stored frames are turned to be shown: 0, 90, 180 or 270
    rotation: int
    # True: stored frames are mirrored left to right before they are turned
    mirrored: bool = False


@dataclass(frozen=True)
class Timeline:
    """When each frame of a clip is shown."""

    # seconds at which each frame appears, ascending
    starts_s: tuple[float, ...]
    duration_s: float
    fps: float
    variable: bool

    def source_frames(self, indices: Sequence[int]) -> tuple[int, ...]:
        """The frame number that each index means; ValueError for an index outside the clip."""
        count = len(self.starts_s)
        for i in indices:
            if not 0 <= i < count:
                raise ValueError(f"frame {i} of a clip of {count} frames")
        if not self.variable:
            return tuple(int(i) for i in indices)
        first = self.starts_s[0]
        return tuple(max(bisect_right(self.starts_s, first + (i + 0.5) / self.fps) - 1, 0) for i in indices)


def timeline(starts_s: Sequence[float], last_duration_s: float | None, stated_fps: float | None) -> Timeline:
    """Timeline from the frames' start times in seconds and the header's frame rate, which may be missing or wrong.

    `last_duration_s` is how long the last frame is shown; None or 0 means the mean of the others. InvalidMedia when
    there are no frames, or neither times nor rate.
    """
    starts = tuple(sorted(starts_s))
    if not starts:
        raise InvalidMedia("the video stream has no frames")
    if stated_fps and _constant(starts, stated_fps):
        return Timeline(starts, len(starts) / stated_fps, stated_fps, variable=False)
    if not last_duration_s or last_duration_s < 0:
        last_duration_s = (starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else 0.0
    duration = starts[-1] - starts[0] + last_duration_s
    if duration <= 0:
        raise InvalidMedia(
            f"the clip states no usable times or frame rate for its {len(starts)} frames; write it with a frame rate"
        )
    fps = len(starts) / duration
    return Timeline(starts, duration, fps, variable=not _constant(starts, fps))


def _constant(starts: tuple[float, ...], fps: float) -> bool:
    first = starts[0]
    return all(abs((start - first) * fps - i) < 0.5 for i, start in enumerate(starts))
