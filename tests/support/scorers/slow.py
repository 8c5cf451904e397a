"""A scorer for tests of overload and faults, run in a server process: as slow as its input says, and able to fail.

Its reward is the mean grey level. A video takes as many milliseconds as its grey level, and one of level 255 loses the
device. Where SLOW_MODEL_GATE names a folder, tests hold batches back and count them: see tests/support/scorers/gate.py.
"""

import os
import time
from pathlib import Path

from identity_reward_client.errors import DeviceLost
from identity_reward_client.frame_sampling import FrameSampling
from reward_model.scorer import ScorerInfo
from reward_model.types import Price, Score

from . import gate

POLL_S = 0.02


class SlowScorer:
    info = ScorerInfo(
        name="slow", version="1", fingerprint="slow", domain="none", description="slow", meaningful=False,
        frame_sampling=FrameSampling("uniform-1", num_frames=1),
    )  # fmt: skip

    def __init__(self, device: str):
        folder = os.environ.get("SLOW_MODEL_GATE")
        self._gate = Path(folder) if folder else None

    def price(self, references, num_frames, size, prompt) -> Price:
        return Price(0, 100)

    def preprocess(self, sample) -> float:
        self._count(gate.PREPROCESSED)
        return float(sample.video.frames_THWC.mean())

    def forward(self, batch):
        self._pass_gate()
        if 255.0 in batch:
            raise DeviceLost("cuda:0: an illegal memory access was encountered")
        time.sleep(sum(batch) / 1000)
        return batch

    def postprocess(self, raw) -> Score:
        return Score(raw)

    def warm_up(self) -> None: ...

    def caches(self) -> tuple:
        return ()

    def _count(self, name: str) -> None:
        if self._gate is not None:
            with (self._gate / name).open("ab") as file:
                file.write(b".")

    def _pass_gate(self) -> None:
        """Waits while the gate is closed, unless a permit lets this batch pass."""
        self._count(gate.BATCHES)
        while self._gate is not None and (self._gate / gate.CLOSED).exists():
            if gate.take_permit(self._gate):
                return
            time.sleep(POLL_S)
