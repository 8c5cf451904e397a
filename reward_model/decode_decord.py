"""Video decoding by decord (the decord2 distribution). A reader is made for each call: one shared by threads aborts."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np

from .container import check_container
from .errors import InvalidMedia
from .timeline import Timeline, VideoProbe, timeline


class DecordDecoder:
    """decord's reader behind the same interface; it applies rotation itself."""

    name = "decord"

    def __init__(self, threads: int = 1):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._decord = decord
        self.threads = threads

    def probe(self, data: bytes) -> VideoProbe:
        reader, times = self._open(data)
        height, width = self._read(reader, (0,)).shape[1:3]
        return VideoProbe("unknown", "unknown", width, height, len(reader), times.fps, times.duration_s, 0)

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        reader, times = self._open(data)
        return self._read(reader, times.source_frames(indices))

    def _open(self, data: bytes) -> tuple[object, Timeline]:
        check_container(data)
        try:
            reader = self._decord.VideoReader(io.BytesIO(data), ctx=self._decord.cpu(0), num_threads=self.threads)
            spans_s = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)
            fps = float(reader.get_avg_fps())
        except (RuntimeError, self._decord.DECORDError) as error:
            raise InvalidMedia(f"the video can't be read: {_first_line(error)}") from None
        starts = spans_s[:, 0] if len(spans_s) else np.zeros(0)
        if not np.isfinite(spans_s).all() or (np.diff(starts) <= 0).any():  # a container without times
            starts = np.arange(len(spans_s)) / fps if fps > 0 else starts
            return reader, timeline(starts.tolist(), None, fps or None)
        return reader, timeline(starts.tolist(), float(spans_s[-1, 1] - spans_s[-1, 0]), fps or None)

    def _read(self, reader, numbers: Sequence[int]) -> np.ndarray:
        try:
            frames = reader.get_batch(list(numbers)).asnumpy()
        except (RuntimeError, self._decord.DECORDError) as error:
            raise InvalidMedia(f"the video is cut short or damaged: {_first_line(error)}") from None
        if len(frames) != len(numbers):
            raise InvalidMedia(f"{len(numbers)} frames were asked for and {len(frames)} came back")
        return frames


def _first_line(error: Exception) -> str:
    """The message without the source file and line that decord puts before it, and without its stack."""
    line = (str(error).strip().splitlines() or ["unknown error"])[0]
    return re.sub(r"^\[[\d:]+\]\s*\S+:\d+:\s*", "", line)
