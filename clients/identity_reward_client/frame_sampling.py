"""Frame sampling of a model: which frames of a video it sees, and at how many pixels. Pure arithmetic on numpy.

The uniform rule and the fps rule are those of the released Identity-GRPO code, and its rounding is part of its scores:
a frame count is rounded to a multiple of `frame_factor` with Python's round (half to even, so 5 becomes 4 with factor
2), and the frame indices are `round(linspace(0, N - 1, n))`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class PixelRule:
    """Size to which an image is resized for a vision tower, and the arithmetic of the resize."""

    # area in pixels after the sides are rounded to the tower's grid
    min_pixels: int
    max_pixels: int
    # bicubic with antialiasing as in: torch's uint8 kernel, torchvision's float path, Pillow 10
    resize: Literal["u8", "float", "pillow"] = "u8"
    # True: sides under half a grid step become one step, as in qwen-vl-utils; False: they become 0, as in transformers
    clamp_thin: bool = False


@dataclass(frozen=True)
class FrameSampling:
    """Rule by which a model samples frames. Exactly one of `num_frames` and `fps` is set."""

    name: str
    # uniform rule: frames over the whole video, rounded to a multiple of frame_factor
    num_frames: int | None = None
    # fps rule: frames per second of video, with the count limited to [min_frames, max_frames] and to the video's own
    fps: float | None = None
    min_frames: int = 4
    max_frames: int = 768
    # temporal patch size of the model: 2 for Qwen2.5-VL, 1 for models of single frames
    frame_factor: int = 1
    # size of frames and of reference images; None: the model crops and aligns faces by itself
    frame_pixels: PixelRule | None = None
    reference_pixels: PixelRule | None = None
    # frames per second of fps="compat"; None: "compat" is refused
    compat_fps: float | None = None
    # how reference files become RGB: "upright" applies the EXIF orientation and puts transparency on white;
    # "as-stored" ignores the orientation and a palette's transparency, as the released Identity-GRPO code does
    reference_files: Literal["upright", "as-stored"] = "upright"

    def __post_init__(self) -> None:
        if (self.num_frames is None) == (self.fps is None):
            raise ValueError(f"frame sampling {self.name!r} needs exactly one of num_frames and fps")

    def count(self, num_source_frames: int, source_fps: float) -> int:
        """Number of frames sampled from a video of `num_source_frames` frames at `source_fps` frames per second.

        ValueError for a video without frames, and for a rate that is not a positive number.
        """
        if num_source_frames < 1:
            raise ValueError(f"a video needs at least one frame, got {num_source_frames}")
        if not source_fps > 0 or not np.isfinite(source_fps):
            raise ValueError(f"fps must be a positive number, got {source_fps}")
        if self.fps is None:
            assert self.num_frames is not None
            return max(round(self.num_frames / self.frame_factor) * self.frame_factor, 1)
        max_frames = self.max_frames // self.frame_factor * self.frame_factor
        count = num_source_frames / source_fps * self.fps
        count = min(max(count, self.min_frames), max_frames, num_source_frames)
        return max(int(count // self.frame_factor) * self.frame_factor, self.frame_factor)

    def indices(self, num_source_frames: int, source_fps: float) -> tuple[int, ...]:
        """Indices of the sampled source frames, ascending. A video with fewer frames than `count` repeats some."""
        count = self.count(num_source_frames, source_fps)
        return tuple(int(i) for i in np.linspace(0, num_source_frames - 1, count).round())
