"""CPU time of moving a group of 8 rollouts from the trainer to the server: 33x240x416 frames in, four frames out.

Ours: the client selects the frames that the model uses; the raw group body is encoded and decoded. The peer does what
the released trainer does: PIL images, an H.264 file of the quality that it exports, and a video decoder. Neither
includes preprocessing or the model.

Gate: our frames arrive bit-equal; the peer's arrive in the right number and size.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import process_time

import av
import numpy as np
from PIL import Image

from identity_reward_client.inputs.media import to_video
from identity_reward_client.messages import GroupRequest
from identity_reward_client.wire import raw_body
from reward_model.config import IDENTITY_GRPO
from reward_model.decoding.decoders import decode_frames

from .support import harness
from .support.clips import FPS, FRAMES, HEIGHT, WIDTH, synthetic_clip

GROUP = 8
# x264's equivalent of the quality 7.5 that the released trainer exports with
CRF = "12"


def by_tensor(clips: list[np.ndarray]) -> list[np.ndarray]:
    """The frames that arrive through the raw group body."""
    videos = [to_video(frames, FPS, IDENTITY_GRPO) for frames in clips]
    body = raw_body.encode(GroupRequest(references="sha256:" + "0" * 64, videos=videos))
    received = raw_body.decode(body).videos
    return [np.frombuffer(v.frames.data, np.uint8).reshape(v.frames.shape) for v in received]


def by_file(clips: list[np.ndarray], folder: Path) -> list[np.ndarray]:
    """The frames that arrive through one MP4 file per clip in `folder`."""
    received = []
    for number, frames in enumerate(clips):
        images = [Image.fromarray(frame) for frame in frames]
        path = folder / f"{number}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"crf": CRF})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_image(image)))
            container.mux(stream.encode())
        received.append(decode_frames(path.read_bytes(), IDENTITY_GRPO.indices(FRAMES, FPS)))
    return received


def measure(_) -> list[harness.Row]:
    clips = [synthetic_clip(seed) for seed in range(GROUP)]
    expected = [frames[list(IDENTITY_GRPO.indices(FRAMES, FPS))] for frames in clips]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        is_equal = all(np.array_equal(a, b) for a, b in zip(by_tensor(clips), expected, strict=True))
        harness.gate(is_equal, "frames changed on the way")
        lossy = by_file(clips, folder)
        harness.gate([f.shape for f in lossy] == [f.shape for f in expected], "the file path lost frames")
        error = float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(lossy, expected, strict=True)]))
        times = harness.in_turn(lambda: by_tensor(clips), lambda: by_file(clips, folder), clock=process_time)
        sizes = {"bytes_by_tensor": sum(f.nbytes for f in expected), "peer_mean_error_levels": round(error, 2)}
    return [harness.row("group of 8, 33x240x416", "ms", "PIL, mp4, file, decode", *times, scale=1e3, goal=10, **sizes)]


if __name__ == "__main__":
    harness.main("handoff", measure)
