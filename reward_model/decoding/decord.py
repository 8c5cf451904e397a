"""Video decoding by decord (the decord2 distribution). A reader is made for each call: one shared by threads aborts.

What a file holds and whether it is whole comes from its packets, as in the default decoder: decord takes a cut file for
a short one. Damaged files can end the process, so this decoder belongs in a worker.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np

from identity_reward_client.errors import InvalidMedia

from .display import to_square_pixels
from .pyav import PyAvDecoder
from .timeline import MAX_PROBED_PIXELS, VideoProbe

# Containers in which decord replaces frames by their neighbours or finds no length: PyAV decodes these.
_NOT_BY_DECORD = ("mpegts", "mpeg", "h264", "hevc")


class DecordDecoder:
    """Pixels by decord; frames are counted, turned, mirrored and stretched as by the default decoder.

    A few containers that decord cannot read are left to the default decoder.
    """

    name = "decord"

    def __init__(self, threads: int = 1) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._decord = decord
        self._pyav = PyAvDecoder(threads)
        self.threads = threads

    def probe(self, data: bytes, max_pixels: int = MAX_PROBED_PIXELS) -> VideoProbe:
        """The default decoder's probe."""
        return self._pyav.probe(data, max_pixels)

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        """Reads from the start: decord's seeks land on wrong frames in streams with open groups of pictures."""
        index = self._pyav.frame_index(data)
        if index.container in _NOT_BY_DECORD:
            return self._pyav.decode(data, indices)
        numbers = index.timeline.source_frames(indices)
        orientation, aspect = self._pyav.geometry(data)
        # decord turns frames by the angle of the display matrix, which a mirrored one has half a turn off
        turned_by_decord = (orientation.rotation + 180 * orientation.mirrored) // 90
        frames: dict[int, np.ndarray] = {}
        try:
            reader = self._decord.VideoReader(io.BytesIO(data), ctx=self._decord.cpu(0), num_threads=self.threads)
            if len(reader) != index.num_packets:
                raise InvalidMedia(f"decord finds {len(reader)} frames in {index.num_packets} packets")
            for number in range(max(numbers) + 1):
                frame = reader.next()
                if number in numbers:
                    stored = np.rot90(frame.asnumpy(), -turned_by_decord)
                    frames[number] = orientation.apply(to_square_pixels(np.ascontiguousarray(stored), aspect))
        except (RuntimeError, StopIteration, self._decord.DECORDError) as error:
            raise InvalidMedia(f"decord can't read the video: {_first_line(error)}") from None
        return np.stack([frames[number] for number in numbers])


def _first_line(error: Exception) -> str:
    """The message without the source file and line that decord puts before it, and without its stack."""
    line = (str(error).strip().splitlines() or ["it ends early"])[0]
    return re.sub(r"^\[[\d:]+\]\s*\S+:\d+:\s*", "", line)
