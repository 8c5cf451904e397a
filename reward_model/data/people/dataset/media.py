"""Writers of clips and reference images. A file appears whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from reward_model.data.packed_clip import SUFFIX, write_packed
from reward_model.types import Video

from ..scenarios.options import PackedOptions, PeopleError
from ..scenarios.scenario import ClipSize
from ..scenarios.sources import RenderableClip
from ..scenes.video_encoding import compress, encode_mp4


class ClipWriter(Protocol):
    suffix: str

    def write(self, path: Path, clip: RenderableClip) -> None: ...


class Mp4Writer:
    suffix = ".mp4"

    def __init__(self, size: ClipSize):
        self._size = size

    def write(self, path: Path, clip: RenderableClip) -> None:
        write_bytes(path, encode_mp4(clip.render(range(self._size.num_frames)), self._size.fps, clip.crf))


class PackedWriter:
    """Renders only the frames that a frame sampling takes, compressed and resized as a model would get them."""

    suffix = SUFFIX

    def __init__(self, size: ClipSize, packed: PackedOptions):
        """PeopleError for an unknown sampling."""
        # torch stays out of processes that write video files
        import torch

        from frame_ops.resize_normalize_patchify.resize import resize
        from reward_model.config import FRAME_SAMPLINGS

        torch.set_num_threads(1)
        self._torch, self._resize, self._clip_size = torch, resize, size
        self._rule: Literal["u8", "float", "pillow"] = "u8"
        if packed.sampling is None:
            last = size.num_frames - 1
            self._frame_indices = tuple(int(i) for i in np.linspace(0, last, packed.num_frames).round())
            self._height_width = (packed.height, packed.width)
            return
        sampling = FRAME_SAMPLINGS.get(packed.sampling)
        if sampling is None or sampling.frame_pixels is None:
            raise PeopleError(f"--sampling {packed.sampling!r} is none of {', '.join(FRAME_SAMPLINGS)}")
        from frame_ops.resize_normalize_patchify.smart_resize import smart_resize

        rule = sampling.frame_pixels
        self._frame_indices = sampling.indices(size.num_frames, size.fps)
        self._height_width = smart_resize(size.height, size.width, rule.min_pixels, rule.max_pixels, rule.clamp_thin)
        self._rule = rule.resize

    def write(self, path: Path, clip: RenderableClip) -> None:
        size = self._clip_size
        frames_THWC = compress(clip.render(self._frame_indices), size.fps, clip.crf)
        resized_THWC = self._resize(self._torch.from_numpy(frames_THWC), *self._height_width, self._rule).numpy()
        write_packed(path, Video(resized_THWC, size.fps, size.num_frames, self._frame_indices))


def write_png(path: Path, image_HWC: np.ndarray) -> None:
    """image_HWC: uint8 RGB."""
    out = io.BytesIO()
    Image.fromarray(image_HWC).save(out, "png")
    write_bytes(path, out.getvalue())


def write_bytes(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.writing")
    partial.write_bytes(data)
    os.replace(partial, path)
