"""Malformed and hostile files, made by PyAV and Pillow or by damaging what those made."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image


class Marked:
    """Unpickling it makes a folder, of a name that only this test process uses."""

    path = os.path.join(tempfile.gettempdir(), f"identity-reward-unpickled-{os.getpid()}")

    def __reduce__(self):
        return os.mkdir, (self.path,)


PICKLE = pickle.dumps(Marked())


@cache
def video(
    frames: int = 12, width: int = 64, height: int = 48, codec: str = "libx264", form: str = "mp4",
    seconds: Fraction = Fraction(1, 12), **options: str,
) -> bytes:  # fmt: skip
    """A clip of drifting noise, `seconds` a frame; `options` are the container's, some of which need a real file."""
    noise = np.random.default_rng(0).integers(0, 256, (height + frames, width, 3), np.uint8)
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=form, options=options) as container:
            stream = container.add_stream(codec, rate=1 / Fraction(seconds))
            stream.width, stream.height, stream.pix_fmt = width, height, "rgb8" if codec == "gif" else "yuv420p"
            for i in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[i : i + height]))))
            container.mux(stream.encode())
        return Path(file.name).read_bytes()


@cache
def large_video(width: int = 16000, height: int = 8000) -> bytes:
    """One frame of a single colour: a few hundred kilobytes for 128 million pixels."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8, options={"preset": "ultrafast", "threads": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


@cache
def audio() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.rate, sound.pts = 16000, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return file.getvalue()


def announcing(count: int) -> bytes:
    """An MP4 whose tables announce `count` frames of 1,000 bytes that are not in the file."""
    data = bytearray(video())
    sizes = data.index(b"stsz")
    struct.pack_into(">II", data, sizes + 8, 1000, count)
    times = data.index(b"stts")
    struct.pack_into(">I", data, times + 12, count)
    chunks = data.index(b"stsc")
    struct.pack_into(">I", data, chunks + 16, count)
    return bytes(data)


def damaged(data: bytes, count: int = 600) -> bytes:
    """`count` bytes of the middle third are inverted."""
    broken = bytearray(data)
    for at in np.random.default_rng(3).integers(len(data) // 3, len(data) * 2 // 3, count):
        broken[at] ^= 0xFF
    return bytes(broken)


def renamed_codec() -> bytes:
    return video().replace(b"avc1", b"zzzz")


def two_sizes() -> bytes:
    """A raw stream whose frame size changes in the middle."""
    return video(form="h264") + video(form="h264", width=96, height=80)


def lying_gif() -> bytes:
    data = bytearray(video(codec="gif", form="gif", frames=2))
    struct.pack_into("<HH", data, 6, 65000, 65000)
    return bytes(data)


def image(form: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(file, form, **options)
    return file.getvalue()


def animation(form: str) -> bytes:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    file = io.BytesIO()
    pages[0].save(file, form, save_all=True, append_images=pages[1:])
    return file.getvalue()


@cache
def decompression_bomb(side: int) -> bytes:
    """A white PNG of `side` x `side` pixels in a few kilobytes."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()
