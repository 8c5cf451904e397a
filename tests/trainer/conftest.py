"""Small clips whose brightness, and so whose FakeRewardClient reward, is their own."""

import asyncio

import numpy as np
import pytest

from identity_reward_client import FakeRewardClient
from trainer.types import RolloutGroup


def flat_clip(level: int, frames: int = 4) -> np.ndarray:
    """uint8 [T, 8, 8, 3], all of one grey."""
    return np.full((frames, 8, 8, 3), level, np.uint8)


class Slow(FakeRewardClient):
    """Waits as many seconds for a group as `waits` says of its prompt."""

    def __init__(self, waits: dict[str, float], **options):
        super().__init__(**options)
        self.waits = waits
        self.active = self.most_active = 0
        self.order: list[str] = []

    async def score_group(self, references, videos, **options):
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await asyncio.sleep(self.waits.get(options["prompt"], 0))
            self.order.append(options["prompt"])
            return await super().score_group(references, videos, **options)
        finally:
            self.active -= 1


def named(key: str, *levels: int) -> RolloutGroup:
    return RolloutGroup(key, [b"anna"], [flat_clip(level) for level in levels], fps=8, prompt=key)


def level(reward: float) -> int:
    return round(reward * 255)


@pytest.fixture
def grey_group():
    def make(key: str, *levels: int, references=None) -> RolloutGroup:
        return RolloutGroup(key, references or [b"anna"], [flat_clip(level) for level in levels], fps=8, prompt="p")

    return make
