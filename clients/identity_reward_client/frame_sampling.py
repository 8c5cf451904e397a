"""Which frames, and how many pixels, a model looks at. Pure arithmetic on numpy; used by client and server alike.

The uniform rule and the fps rule are those of the released Identity-GRPO code, whose rounding is part of its scores:
a wanted count is rounded to a multiple of `frame_factor` with Python's round (half to even, so 5 -> 4 with factor 2),
and the indices are `round(linspace(0, N - 1, n))`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class PixelRule:
    """The size to which a picture is brought before a vision tower sees it, and the arithmetic of the resize."""

    # area after rounding the sides to the tower's grid
    min_pixels: int
    max_pixels: int
    # bicubic with antialiasing as in: torch's uint8 kernel, torchvision's float path, Pillow 10
    resize: Literal["u8", "float", "pillow"] = "u8"
    # sides under half a grid step become one step, as in qwen-vl-utils; otherwise none, as in transformers
    clamp_thin: bool = False


@dataclass(frozen=True)
class FrameSampling:
    """Exactly one of `num_frames` and `fps` is set."""

    name: str
    # uniform rule: this many frames over the whole video, rounded to a multiple of frame_factor
    num_frames: int | None = None
    # fps rule: frames a second of video, clamped to [min_frames, max_frames] and to what the video has
    fps: float | None = None
    min_frames: int = 4
    max_frames: int = 768
    # temporal patch of the model: 2 for Qwen2.5-VL, 1 for models of single frames
    frame_factor: int = 1
    # pixels of frames and of references; None: the model has its own way (faces are cut out and aligned)
    frame_pixels: PixelRule | None = None
    reference_pixels: PixelRule | None = None
    # the rate taken for a sender who asks for compatibility with a trainer that wrote this rate into every file
    compat_fps: float | None = None
    # how reference files become RGB: "upright" turns them by their EXIF orientation and puts transparency on white;
    # "as-stored" ignores the orientation and a palette's transparency, as the released Identity-GRPO code does
    reference_files: Literal["upright", "as-stored"] = "upright"

    def __post_init__(self):
        if (self.num_frames is None) == (self.fps is None):
            raise ValueError(f"frame sampling {self.name!r} needs exactly one of num_frames and fps")

    def count(self, num_source_frames: int, source_fps: float) -> int:
        """How many frames the model sees of a video with `num_source_frames` frames at `source_fps`."""
        if num_source_frames < 1:
            raise ValueError(f"a video needs at least one frame, got {num_source_frames}")
        if not source_fps > 0 or not np.isfinite(source_fps):
            raise ValueError(f"fps must be a positive number, got {source_fps}")
        if self.fps is None:
            assert self.num_frames is not None
            return max(round(self.num_frames / self.frame_factor) * self.frame_factor, 1)
        most = self.max_frames // self.frame_factor * self.frame_factor
        wanted = num_source_frames / source_fps * self.fps
        wanted = min(max(wanted, self.min_frames), most, num_source_frames)
        return max(int(wanted // self.frame_factor) * self.frame_factor, self.frame_factor)

    def indices(self, num_source_frames: int, source_fps: float) -> tuple[int, ...]:
        """Source frame numbers, ascending; a video with fewer frames than wanted repeats some."""
        count = self.count(num_source_frames, source_fps)
        return tuple(int(i) for i in np.linspace(0, num_source_frames - 1, count).round())
