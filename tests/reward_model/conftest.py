"""Clips written by PyAV, and samples of noise."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from reward_model.types import ReferenceSet, Sample, Video
from tests.support.video_files import SAME_BYTES_X264


def write_clip(path, *, frames=30, size=(240, 416), fps=10, codec="libx264", rotation=0, times_ms=None, fmt="yuv420p",
               options=None, audio=False, video=True, cover=False, pixel_aspect=None):  # fmt: skip
    """An image that pans by one row and two columns a frame; `times_ms` gives a variable frame rate."""
    height, width = size
    image = np.random.default_rng(0).integers(0, 256, (height // 8 + 20, width // 8 + 40, 3), dtype=np.uint8)
    image = image.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        # every stream before the first packet: the header is written with that
        sound = container.add_stream("aac", rate=16000) if audio else None
        stream = container.add_stream("mjpeg", rate=1) if cover else None
        if cover:
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
            stream.disposition, frames, height, width = Disposition.attached_pic, 1, 64, 64
        elif video:
            encoder = (SAME_BYTES_X264 if codec == "libx264" else {}) | (options or {})
            stream = container.add_stream(codec, rate=fps, options=encoder)
            stream.width, stream.height, stream.pix_fmt = width, height, fmt
            if pixel_aspect:
                stream.codec_context.sample_aspect_ratio = Fraction(pixel_aspect.replace(":", "/"))
            if rotation:
                stream.set_display_rotation(rotation)
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(frames if stream else 0):
            pixels = np.ascontiguousarray(image[i:][:height, 2 * i :][:, :width])
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if stream:
            container.mux(stream.encode())
        if sound:
            sample = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            sample.rate, sample.pts = 16000, 0
            container.mux(sound.encode(sample))
            container.mux(sound.encode())
    return path.read_bytes()


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """The bytes of a clip with these options; each distinct clip is written once a session."""
    folder, clips = tmp_path_factory.mktemp("clips"), {}

    def make(name="clip.mp4", **options):
        key = repr((name, sorted(options.items(), key=str)))
        if key not in clips:
            clips[key] = write_clip(folder / f"{len(clips)}-{name}", **options)
        return clips[key]

    return make


@pytest.fixture(scope="session")
def noise_sample():
    def make(seed=0, references=((300, 400), (512, 512)), frames=4, size=(240, 416), fps=10.0, source=33, prompt=None):
        generator = np.random.default_rng(seed)
        images = tuple(generator.integers(0, 256, (*s, 3), dtype=np.uint8) for s in references)
        pixels = generator.integers(0, 256, (frames, *size, 3), dtype=np.uint8)
        indices = tuple(int(i) for i in np.linspace(0, source - 1, frames).round())
        return Sample(ReferenceSet(images), Video(pixels, fps, source, indices), prompt)

    return make
