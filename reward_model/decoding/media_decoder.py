"""Protocol between callers that need frames and images and the code that decodes untrusted files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np

from identity_reward_client.errors import InvalidMedia

from . import decoders as decode
from .images import ImageRule, decode_image
from .timeline import MAX_PROBED_PIXELS, VideoProbe


class OpenVideo(Protocol):
    """A probed file: its properties can be checked before `frames` decodes any of it."""

    probe: VideoProbe

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3] with the probe's H and W, as `VideoDecoder.decode`."""
        ...


class MediaDecoder(Protocol):
    """Safe to call from several threads. Every method but `start` blocks; files raise InvalidMedia or LimitExceeded."""

    def start(self) -> None:
        """Begin the preparation in the background; returns at once."""
        ...

    def wait_ready(self) -> None:
        """Block until files can be decoded. ScoringFailed when that will never be."""
        ...

    def video(self, data: bytes | memoryview, max_pixels: int) -> AbstractContextManager[OpenVideo]:
        """Open a video file. Of one whose frames have more than `max_pixels`, nothing is decoded for the probe."""
        ...

    def image(self, data: bytes | memoryview, what: str, max_pixels: int, rule: ImageRule) -> np.ndarray:
        """uint8 RGB [H, W, 3], as `decode_image`."""
        ...

    def close(self) -> None:
        """Give up all resources; later calls fail."""
        ...


class InProcessDecoder:
    """A MediaDecoder for trusted files: decodes in the caller's thread, where a damaged file may end the process."""

    def __init__(self, decoder: str = "pyav") -> None:
        self._decoder = decoder

    def start(self) -> None:
        """Nothing has to be prepared."""

    def wait_ready(self) -> None:
        """Always ready."""

    @contextmanager
    def video(self, data: bytes | memoryview, max_pixels: int = MAX_PROBED_PIXELS) -> Iterator[OpenVideo]:
        """As `MediaDecoder.video`; the file is probed at once."""
        yield ProbedVideo(bytes(data), max_pixels, self._decoder)

    def image(self, data: bytes | memoryview, what: str, max_pixels: int, rule: ImageRule) -> np.ndarray:
        """As `MediaDecoder.image`."""
        return decode_image(data, what, max_pixels, rule)

    def close(self) -> None:
        """Holds no resources."""


class ProbedVideo:
    """An OpenVideo in this process."""

    def __init__(self, data: bytes, max_pixels: int, decoder: str) -> None:
        self._data = data
        self._decoder = decode.decoder(decoder)
        self.probe = self._decoder.probe(data, max_pixels)

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """As `OpenVideo.frames`; InvalidMedia where the frames have another size than the header states."""
        frames = self._decoder.decode(self._data, indices)
        height, width = frames.shape[1:3]
        if (height, width) != (self.probe.height, self.probe.width):
            raise InvalidMedia(
                f"the header promises {self.probe.width}x{self.probe.height} frames, {width}x{height} ones are there"
            )
        return frames
