"""Deterministic H.264 encoding of rendered frames."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import cv2
import numpy as np

av.logging.set_level(av.logging.PANIC)
# RGB to YCbCr of video range, ITU-R BT.601
BT601 = np.array(
    [[0.25679, 0.50413, 0.09791, 16], [-0.14822, -0.29099, 0.43922, 128], [0.43922, -0.36779, -0.07143, 128]]
)


def encode_mp4(frames_THWC: np.ndarray, fps: float, crf: int) -> bytes:
    """An MP4 (H.264, 4:2:0) of uint8 RGB frames with even sides; the same frames give the same bytes.

    `crf`: x264's constant rate factor.
    """
    out = io.BytesIO()
    # x264's look ahead, on which frame types and sizes depend, varies from run to run with the same frames
    params = "bframes=0:mbtree=0:rc-lookahead=0:sync-lookahead=0"
    options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": params}
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame_HWC in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_to_yuv420(frame_HWC), "yuv420p")))
        container.mux(stream.encode())
    return out.getvalue()


def _to_yuv420(frame_HWC: np.ndarray) -> np.ndarray:
    """[H * 3 / 2, W] uint8: the planes of 4:2:0 one under another. A chroma sample is the mean of its four pixels."""
    height, width = frame_HWC.shape[:2]
    ycc = cv2.transform(np.ascontiguousarray(frame_HWC), BT601)
    chroma = cv2.resize(ycc[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    planes = (ycc[..., 0], chroma[..., 0], chroma[..., 1])
    return np.concatenate([plane.ravel() for plane in planes]).reshape(height * 3 // 2, width)


def compress(frames_THWC: np.ndarray, fps: float, crf: int) -> np.ndarray:
    """The frames as they come out of `encode_mp4`: uint8 RGB [T, H, W, 3]."""
    with av.open(io.BytesIO(encode_mp4(frames_THWC, fps, crf)), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
