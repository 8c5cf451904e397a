"""Video decoding by decord (the decord2 distribution). A reader is made for each call: one shared by threads aborts.

What a file holds and whether it is whole is asked of its packets, as for the default decoder: decord takes a cut file
for a short one. Damaged files can end the process, so this decoder belongs in a worker.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np

from identity_reward_client.errors import InvalidMedia

from .pyav import PyAvDecoder
from .timeline import MAX_PROBED_PIXELS, VideoProbe


class DecordDecoder:
    """Pixels by decord, which turns them upright itself."""

    name = "decord"

    def __init__(self, threads: int = 1):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._decord = decord
        self._packets = PyAvDecoder(threads)
        self.threads = threads

    def probe(self, data: bytes, max_pixels: int = MAX_PROBED_PIXELS) -> VideoProbe:
        return self._packets.probe(data, max_pixels)

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        """Reads from the start: decord's seeks land on wrong frames in streams with open groups of pictures."""
        timeline = self._packets.timeline(data)
        numbers = timeline.source_frames(indices)
        pictures: dict[int, np.ndarray] = {}
        try:
            reader = self._decord.VideoReader(io.BytesIO(data), ctx=self._decord.cpu(0), num_threads=self.threads)
            if len(reader) != len(timeline.starts_s):
                raise InvalidMedia(f"decord finds {len(reader)} frames where the packets are {len(timeline.starts_s)}")
            for number in range(max(numbers) + 1):
                picture = reader.next()
                if number in numbers:
                    pictures[number] = picture.asnumpy()
        except (RuntimeError, StopIteration, self._decord.DECORDError) as error:
            raise InvalidMedia(f"decord can't read the video: {_first_line(error)}") from None
        return np.stack([pictures[number] for number in numbers])


def _first_line(error: Exception) -> str:
    """The message without the source file and line that decord puts before it, and without its stack."""
    line = (str(error).strip().splitlines() or ["it ends early"])[0]
    return re.sub(r"^\[[\d:]+\]\s*\S+:\d+:\s*", "", line)
