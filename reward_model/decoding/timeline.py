"""When the frames of a clip are shown, and which frame an index means. Pure; torch is never imported here.

The rule. Frames count in the order in which they are shown. Of a clip of constant frame rate, index i is frame i. A
clip whose frames leave that grid by half an interval or more has a variable frame rate; its rate is then
frames / duration, and index i is the frame on screen in the middle of the i-th interval of that rate: an index means a
time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from identity_reward_client.errors import InvalidMedia

# a larger frame isn't decoded to learn how it is turned: no sane limit lets it pass
MAX_PROBED_PIXELS = 1 << 26


@dataclass(frozen=True)
class VideoProbe:
    """What a file says before a frame is converted; `width` and `height` as shown, after `rotation`."""

    container: str
    codec: str
    width: int
    height: int
    num_frames: int
    fps: float
    duration_s: float
    # degrees counter-clockwise by which the stored picture is turned to be shown: 0, 90, 180 or 270
    rotation: int


@dataclass(frozen=True)
class Timeline:
    # seconds at which each frame appears, ascending
    starts_s: tuple[float, ...]
    duration_s: float
    fps: float
    variable: bool

    def source_frames(self, indices: Sequence[int]) -> tuple[int, ...]:
        """For each index the number of the frame that it means; an index outside the clip is a ValueError."""
        count = len(self.starts_s)
        for i in indices:
            if not 0 <= i < count:
                raise ValueError(f"frame {i} of a clip of {count} frames")
        if not self.variable:
            return tuple(int(i) for i in indices)
        first = self.starts_s[0]
        return tuple(max(bisect_right(self.starts_s, first + (i + 0.5) / self.fps) - 1, 0) for i in indices)


def timeline(starts_s: Sequence[float], last_duration_s: float | None, stated_fps: float | None) -> Timeline:
    """From the frames' start times and the rate in the header, which may be missing or wrong."""
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
