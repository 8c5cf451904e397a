"""Score frames in memory, as a trainer has them: `python examples/score_frames.py [--url URL]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np

from identity_reward_client import Frames, HttpRewardClient, SyncRewardClient, local_client

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="address of a service; if absent, the frames are scored in this process")
    args = parser.parse_args()
    with av.open(str(HERE / "clips/one_person.mp4")) as container:
        frames_THWC = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    # as from the decoder of a video model: [T, 3, H, W] in [-1, 1]; it may be a torch tensor too
    decoded_TCHW = frames_THWC.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1

    # fps is never guessed; only the frames that the model samples are sent
    group = [
        Frames(frames_THWC, fps=16),
        Frames(decoded_TCHW, fps=16, value_range=(-1, 1)),
        Frames(decoded_TCHW[::-1], fps=16, value_range=(-1, 1)),
        Frames(decoded_TCHW * 0.1, fps=16, value_range=(-1, 1)),
    ]
    with SyncRewardClient(HttpRewardClient(args.url) if args.url else local_client()) as client:
        response = client.score_group([HERE / "references/anna.jpg"], group)

    for item, name in zip(response.items, ("uint8", "float", "float, reversed", "float, nearly grey"), strict=True):
        if item.scored is not None:
            print(f"{name}: reward {item.scored.reward:.4f}, frames {item.scored.frame_indices}")
        elif item.error is not None:
            print(f"{name}: {item.error.message}")


if __name__ == "__main__":
    main()
