"""Small clips whose brightness, and so whose FakeRewardClient reward, is their own; the server process of tests/e2e."""

import numpy as np
import pytest
from hypothesis import settings

from tests.e2e.conftest import serve  # noqa: F401
from trainer.types import RolloutGroup

# a busy machine is no failure of a property
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def flat_clip(level: int, frames: int = 4) -> np.ndarray:
    """uint8 [T, 8, 8, 3], all of one grey."""
    return np.full((frames, 8, 8, 3), level, np.uint8)


@pytest.fixture
def grey_group():
    def make(key: str, *levels: int, references=None) -> RolloutGroup:
        return RolloutGroup(key, references or [b"anna"], [flat_clip(level) for level in levels], fps=8, prompt="p")

    return make
