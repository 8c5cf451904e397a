"""Score frames that are already in memory, as a trainer has them: `python examples/score_frames.py [--url URL]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np

from identity_reward_client import HttpRewardClient, SyncRewardClient, local_client
from identity_reward_client.inputs.tensors import Frames

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a running service; without it the frames are scored in this process")
    given = parser.parse_args()
    with av.open(str(HERE / "clips/one_person.mp4")) as container:
        frames_THWC = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    # what a video model's decoder gives: [T, 3, H, W], -1 to 1; a torch tensor does as well
    decoded_TCHW = frames_THWC.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1

    # fps is never guessed; only the frames that the model looks at travel
    group = [
        Frames(frames_THWC, fps=16),
        Frames(decoded_TCHW, fps=16, value_range=(-1, 1)),
        Frames(decoded_TCHW[::-1], fps=16, value_range=(-1, 1)),
        Frames(decoded_TCHW * 0.1, fps=16, value_range=(-1, 1)),
    ]
    with SyncRewardClient(HttpRewardClient(given.url) if given.url else local_client()) as client:
        answer = client.score_group([HERE / "references/anna.jpg"], group)

    for item, name in zip(answer.items, ("uint8", "float", "float, reversed", "float, nearly grey"), strict=True):
        if item.error is not None:
            print(f"{name}: {item.error.message}")
        else:
            print(f"{name}: reward {item.reward:.4f}, frames {item.scored.frame_indices}")


if __name__ == "__main__":
    main()
