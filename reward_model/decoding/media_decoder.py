"""Files from strangers to pixels: the seam between those who ask for frames and pictures and those who decode them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np

from identity_reward_client.errors import InvalidMedia

from . import decoders as decode
from .images import PictureRule, decode_picture
from .timeline import MAX_PROBED_PIXELS, VideoProbe


class OpenVideo(Protocol):
    """A file that was probed; what it says can be checked before `frames` decodes any of it."""

    probe: VideoProbe

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3] with the probe's H and W, as `VideoDecoder.decode`."""
        ...


class MediaDecoder(Protocol):
    """Safe to call from several threads. Every method blocks and raises InvalidMedia or LimitExceeded."""

    def start(self) -> None:
        """Begin whatever takes a while; returns at once."""
        ...

    def wait_ready(self) -> None:
        """ScoringFailed when it will never be ready."""
        ...

    def video(self, data: bytes | memoryview, max_pixels: int) -> AbstractContextManager[OpenVideo]:
        """Nothing is decoded of a video whose frames have more than `max_pixels`, but its probe is given."""
        ...

    def picture(self, data: bytes | memoryview, what: str, max_pixels: int, rule: PictureRule) -> np.ndarray:
        """uint8 RGB [H, W, 3], as `decode_picture`."""
        ...

    def close(self) -> None: ...


class InProcessDecoder:
    """Decodes in the caller's own thread: for files that are trusted. A damaged one may end the process."""

    def __init__(self, decoder: str = "pyav"):
        self._decoder = decoder

    def start(self) -> None: ...

    def wait_ready(self) -> None: ...

    @contextmanager
    def video(self, data: bytes | memoryview, max_pixels: int = MAX_PROBED_PIXELS) -> Iterator[OpenVideo]:
        yield ProbedVideo(bytes(data), max_pixels, self._decoder)

    def picture(self, data: bytes | memoryview, what: str, max_pixels: int, rule: PictureRule) -> np.ndarray:
        return decode_picture(data, what, max_pixels, rule)

    def close(self) -> None: ...


class ProbedVideo:
    def __init__(self, data: bytes, max_pixels: int, decoder: str):
        self._data = data
        self._decoder = decode.decoder(decoder)
        self.probe = self._decoder.probe(data, max_pixels)

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        frames = self._decoder.decode(self._data, indices)
        height, width = frames.shape[1:3]
        if (height, width) != (self.probe.height, self.probe.width):
            raise InvalidMedia(
                f"the header promises {self.probe.width}x{self.probe.height} frames, {width}x{height} ones are there"
            )
        return frames
