"""Clips as mp4 files, and back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from reward_model.training.errors import TrainingError

UInt8 = NDArray[np.uint8]
# close to lossless, so that the reward of a file is that of the clip; yuv420p plays everywhere
_OPTIONS = {"crf": "10", "preset": "medium", "threads": "1"}
# a rate such as 23.976 has no exact fraction
_MAX_DENOMINATOR = 1001


def write_mp4(path: Path, clip_THWC: UInt8, fps: float) -> None:
    """H.264 of RGB frames. H and W are even. A kill leaves no part of a file at `path`."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(_MAX_DENOMINATOR), options=_OPTIONS
        )
        stream.height, stream.width = clip_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in clip_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    partial.replace(path)


def read_mp4(path: Path) -> UInt8:
    """RGB frames_THWC. TrainingError for what is no video."""
    try:
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    except (av.FFmpegError, ValueError) as error:
        raise TrainingError(f"{path} can't be read: {error}; delete it, and --resume samples it again") from None
