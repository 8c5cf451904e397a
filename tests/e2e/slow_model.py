"""A model for tests of overload and faults, in a server process of its own: slow on purpose, and mortal.

Its reward is the mean grey level; a video takes as many milliseconds as its grey level, and one of level 255 loses the
device.
"""

import time

from identity_reward_client.errors import DeviceLost
from identity_reward_client.frame_sampling import FrameSampling
from reward_model.scorer import ScorerInfo
from reward_model.types import Price, Score


class Slow:
    info = ScorerInfo(
        name="slow", version="1", fingerprint="slow", domain="none", description="slow", meaningful=False,
        frame_sampling=FrameSampling("uniform-1", num_frames=1),
    )  # fmt: skip

    def __init__(self, device: str):
        pass

    def price(self, references, num_frames, size, prompt) -> Price:
        return Price(0, 100)

    def preprocess(self, sample) -> float:
        return float(sample.video.frames_THWC.mean())

    def forward(self, batch):
        if 255.0 in batch:
            raise DeviceLost("cuda:0: an illegal memory access was encountered")
        time.sleep(sum(batch) / 1000)
        return batch

    def postprocess(self, raw) -> Score:
        return Score(raw)

    def warm_up(self) -> None: ...

    def caches(self) -> tuple:
        return ()
