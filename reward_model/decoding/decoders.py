"""Video files to frames. Imports no torch, so that worker processes stay small.

`VideoDecoder` has two implementations with the same rule for what an index means (see `timeline.py`), the same frames
and the same pixels. A file that can't be read whole where it is needed is InvalidMedia, never fewer frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np

from .decord import DecordDecoder
from .pyav import PyAvDecoder
from .timeline import MAX_PROBED_PIXELS, VideoProbe

__all__ = ["DECODERS", "DecordDecoder", "PyAvDecoder", "VideoDecoder", "VideoProbe", "decode_frames", "probe"]


class VideoDecoder(Protocol):
    """Safe to call from several threads: every call opens the bytes anew."""

    name: str

    def probe(self, data: bytes, max_pixels: int = MAX_PROBED_PIXELS) -> VideoProbe:
        """Sizes, count and times from header and packets. InvalidMedia for what is no readable video.

        How frames are turned only a decoded one tells; it isn't decoded when it has more than `max_pixels`.
        """
        ...

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3] for `indices` in the order given, repeats allowed, turned upright.

        InvalidMedia when one of them can't be decoded; ValueError for an index that the clip doesn't have.
        """
        ...


DECODERS: dict[str, Callable[[], VideoDecoder]] = {"pyav": PyAvDecoder, "decord": DecordDecoder}


@cache
def decoder(name: str = "pyav") -> VideoDecoder:
    """A shared decoder by name; an unknown name is a KeyError that lists the known."""
    if name not in DECODERS:
        raise KeyError(f"no decoder is called {name!r}; there are {', '.join(DECODERS)}")
    return DECODERS[name]()


def probe(data: bytes) -> VideoProbe:
    return decoder().probe(data)


def decode_frames(data: bytes, indices: Sequence[int]) -> np.ndarray:
    return decoder().decode(data, indices)
