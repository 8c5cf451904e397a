"""Clips and references as files. A file appears whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from reward_model.data.packed_clip import SUFFIX, write_packed
from reward_model.types import Video

from ..scenarios.options import Packed, PeopleError
from ..scenarios.scenario import ClipSize
from ..scenarios.sources import Clip
from ..scenes.degradation import compressed, encode


class ClipWriter(Protocol):
    suffix: str

    def write(self, path: Path, clip: Clip) -> None: ...


class Mp4Writer:
    suffix = ".mp4"

    def __init__(self, size: ClipSize):
        self._size = size

    def write(self, path: Path, clip: Clip) -> None:
        write_bytes(path, encode(clip.draw(range(self._size.num_frames)), self._size.fps, clip.crf))


class PackedWriter:
    """Draws only the frames that a frame sampling takes; they are compressed and resized as a model would get them."""

    suffix = SUFFIX

    def __init__(self, size: ClipSize, packed: Packed):
        import torch

        from frame_ops.resize_normalize_patchify.resize import resize
        from reward_model.config import FRAME_SAMPLINGS

        torch.set_num_threads(1)
        self._torch, self._resize, self._size = torch, resize, size
        self._rule: Literal["u8", "float", "pillow"] = "u8"
        if packed.sampling is None:
            last = size.num_frames - 1
            self._frames = tuple(int(i) for i in np.linspace(0, last, packed.num_frames).round())
            self._to = (packed.height, packed.width)
            return
        sampling = FRAME_SAMPLINGS.get(packed.sampling)
        if sampling is None or sampling.frame_pixels is None:
            raise PeopleError(f"--sampling {packed.sampling!r} is none of {', '.join(FRAME_SAMPLINGS)}")
        from frame_ops.resize_normalize_patchify.smart_resize import smart_resize

        rule = sampling.frame_pixels
        self._frames = sampling.indices(size.num_frames, size.fps)
        self._to = smart_resize(size.height, size.width, rule.min_pixels, rule.max_pixels, rule.clamp_thin)
        self._rule = rule.resize

    def write(self, path: Path, clip: Clip) -> None:
        frames = compressed(clip.draw(self._frames), self._size.fps, clip.crf)
        small = self._resize(self._torch.from_numpy(frames), *self._to, self._rule).numpy()
        write_packed(path, Video(small, self._size.fps, self._size.num_frames, self._frames))


def write_picture(path: Path, picture: np.ndarray) -> None:
    """A PNG of uint8 RGB [H, W, 3]."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "png")
    write_bytes(path, out.getvalue())


def write_bytes(path: Path, data: bytes) -> None:
    whole = path.with_name(f".{path.name}.writing")
    whole.write_bytes(data)
    os.replace(whole, path)
