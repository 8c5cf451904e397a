"""Small images and clips of people, made from the portraits of the openpeople package."""

import base64
import io
from pathlib import Path

import av
import numpy as np
import openpeople
from PIL import Image

PORTRAITS = Path(openpeople.__file__).parent / "data/curated"


def b64(data) -> str:
    return base64.b64encode(data).decode()


def portrait(person: str, size: int = 320) -> Image.Image:
    """A studio portrait, `size` x `size` pixels."""
    path = PORTRAITS / person / "assets/studio_portrait.jpg"
    return Image.open(path).convert("RGB").resize((size, size))


def encode_jpeg(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, **options)
    return file.getvalue()


def panned_portrait(person: str, frames: int = 12, size: int = 192) -> np.ndarray:
    """uint8 [frames, size, size, 3]: the camera moves over a portrait."""
    pixels = np.asarray(portrait(person, size + 2 * frames))
    return np.stack([pixels[t : t + size, 2 * t : 2 * t + size] for t in range(frames)])


def encode_video(
    frames_THWC: np.ndarray, fps: int = 12, container: str = "mp4", codec: str = "libx264", **options: str
) -> bytes:
    """A video file of uint8 RGB frames; `options` are the encoder's."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=fps, options={"crf": "18", **options})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()
