"""What is done to drawn pictures: a head blurred or warped, detail lost, a clip compressed. Pixels are uint8 RGB."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Literal

import av
import cv2
import numpy as np

from .scene import Box

av.logging.set_level(av.logging.PANIC)
# RGB to YCbCr of video range, ITU-R BT.601
BT601 = np.array(
    [[0.25679, 0.50413, 0.09791, 16], [-0.14822, -0.29099, 0.43922, 128], [0.43922, -0.36779, -0.07143, 128]]
)
DamageKind = Literal["blur", "warp"]


def damaged(picture: np.ndarray, box: Box, kind: DamageKind, strength: float) -> np.ndarray:
    """[H, W, 3] with the head in `box` blurred or warped, fading out around it; strength 0..1."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box
    size = max(x1 - x0, y1 - y0)
    if kind == "blur":
        other = cv2.GaussianBlur(picture, (0, 0), size * (0.02 + 0.06 * strength))
    else:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        far, wave = size * (0.04 + 0.07 * strength), 2 * np.pi / (size * 0.55)
        dx, dy = far * np.sin(wave * (y - y0)), far * np.sin(wave * (x - x0) * 1.3 + 1)
        other = cv2.remap(
            picture, (x + dx).astype(np.float32), (y + dy).astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
    mask = np.zeros((height, width), np.float32)
    middle, axes = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) * 0.62, (y1 - y0) * 0.58)
    cv2.ellipse(mask, (middle, (axes[0] * 2, axes[1] * 2), 0.0), 1.0, -1)
    share = cv2.GaussianBlur(mask, (0, 0), size * 0.05)[..., None]
    return np.rint(picture * (1 - share) + other * share).astype(np.uint8)


def lower_resolution(picture: np.ndarray, share: float) -> np.ndarray:
    """[H, W, 3] scaled down to `share` of each side and up again; 1 leaves it as it is."""
    if share >= 1:
        return picture
    height, width = picture.shape[:2]
    small = (max(round(width * share), 1), max(round(height * share), 1))
    return cv2.resize(
        cv2.resize(picture, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
    )


def encode(frames_THWC: np.ndarray, fps: float, crf: int) -> bytes:
    """An MP4 (H.264, 4:2:0) of frames with even sides; the same frames give the same bytes."""
    out = io.BytesIO()
    # x264's look ahead, on which frame types and sizes depend, varies from run to run with the same frames
    params = "bframes=0:mbtree=0:rc-lookahead=0:sync-lookahead=0"
    options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": params}
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_planes(frame), "yuv420p")))
        container.mux(stream.encode())
    return out.getvalue()


def _planes(frame: np.ndarray) -> np.ndarray:
    """[H * 3 / 2, W] uint8: the planes of 4:2:0 one under another.

    By OpenCV: each chroma sample is the mean of its four pixels.
    """
    height, width = frame.shape[:2]
    ycc = cv2.transform(np.ascontiguousarray(frame), BT601)
    chroma = cv2.resize(ycc[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    planes = (ycc[..., 0], chroma[..., 0], chroma[..., 1])
    return np.concatenate([plane.ravel() for plane in planes]).reshape(height * 3 // 2, width)


def compressed(frames_THWC: np.ndarray, fps: float, crf: int) -> np.ndarray:
    """The frames as they come out of `encode`."""
    with av.open(io.BytesIO(encode(frames_THWC, fps, crf)), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
