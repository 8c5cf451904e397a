"""Small clips with a reward of their own (their brightness), a client that waits to be released, and a clock."""

import asyncio
from threading import Event

import numpy as np
import pytest
from hypothesis import settings

from identity_reward_client import FakeRewardClient
from trainer.types import RolloutGroup

# a busy machine is no failure of a property
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def flat_clip(level: int, frames: int = 4) -> np.ndarray:
    """uint8 [T, 8, 8, 3] of one grey level."""
    return np.full((frames, 8, 8, 3), level, np.uint8)


def make_group(key: str, *levels: int, references=(b"anna",)) -> RolloutGroup:
    """A group whose prompt is its key, with a clip of each grey level."""
    return RolloutGroup(key, references, [flat_clip(level) for level in levels], fps=8, prompt=key)


def level(reward: float) -> int:
    """Grey level of the clip with this reward."""
    return round(reward * 255)


class HeldClient(FakeRewardClient):
    """Answers for a group with one of the prompts `held` only after `release(prompt)`."""

    def __init__(self, *held: str, **options):
        super().__init__(**options)
        self.events = {prompt: Event() for prompt in held}
        self.active = self.max_active = 0
        # prompts in the order of their answers
        self.answered: list[str] = []

    def release(self, prompt: str) -> None:
        self.events[prompt].set()

    async def score_group(self, references, videos, **options):
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        try:
            event = self.events.get(options["prompt"])

            while event is not None and not event.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            self.answered.append(options["prompt"])
            return await super().score_group(references, videos, **options)
        finally:
            self.active -= 1


class Clock:
    """Time that only a test changes."""

    def __init__(self):
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("trainer.rewards.remote.time", clock)
    return clock
