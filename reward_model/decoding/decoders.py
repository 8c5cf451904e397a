"""Protocol and registry of video decoders. Imports no torch, so that worker processes stay small.

The two implementations agree on which frame an index means (see `timeline.py`), on the frames and on their pixels. A
file that lacks a requested frame is InvalidMedia; a decoder never returns fewer frames.
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
    """Decodes video files held in memory. Safe to call from several threads: every call opens the bytes anew."""

    # its key in DECODERS
    name: str

    def probe(self, data: bytes, max_pixels: int = MAX_PROBED_PIXELS) -> VideoProbe:
        """Size, number and times of the frames. InvalidMedia for bytes that are no readable video.

        Most comes from the header and the packets. The orientation needs one decoded frame, and the number of frames
        of a few files needs all of them (see `packets.py`); neither is decoded when a frame has more than
        `max_pixels`, so that rotation is 0 and the count may be a few packets too many.
        """
        ...

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3] for `indices` in the given order, repeats allowed.

        H and W are those of the probe: frames are upright, not mirrored, in square pixels. InvalidMedia when a frame
        cannot be decoded; ValueError for an index that the clip does not have.
        """
        ...


DECODERS: dict[str, Callable[[], VideoDecoder]] = {"pyav": PyAvDecoder, "decord": DecordDecoder}


@cache
def decoder(name: str = "pyav") -> VideoDecoder:
    """The shared decoder of that name. KeyError, which lists the names, for an unknown one."""
    if name not in DECODERS:
        raise KeyError(f"no decoder is called {name!r}; there are {', '.join(DECODERS)}")
    return DECODERS[name]()


def probe(data: bytes) -> VideoProbe:
    """`VideoDecoder.probe` of the default decoder."""
    return decoder().probe(data)


def decode_frames(data: bytes, indices: Sequence[int]) -> np.ndarray:
    """`VideoDecoder.decode` of the default decoder."""
    return decoder().decode(data, indices)
