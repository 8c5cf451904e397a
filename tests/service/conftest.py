"""A small model for tests of the engine and the transports: its reward is the mean brightness, between 0 and 1."""

import sys
import threading
import types

import numpy as np
import pytest

from identity_reward_client.errors import ReferenceWithoutFace, ScoringFailed
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Image, Pixels, Video
from reward_model.registry import SCORERS
from reward_model.scorer import ScorerInfo
from reward_model.types import Price, Score
from service.engine.engine import ScoringEngine
from tests.service.flat_settings import flat_settings


class Brightness:
    """Mean brightness. Refuses black references; frames of 99 can't be prepared, of 13 crash, of 7 give NaN.

    `forward` waits until `open` is set, for tests that hold the model.
    """

    def __init__(self, device: str):
        self.info = ScorerInfo(
            name="brightness", version="1", fingerprint="mean", domain="none", description="mean brightness",
            frame_sampling=FrameSampling("uniform-4", num_frames=4), preference_scale=10.0, max_references=3,
        )  # fmt: skip
        self.batches: list[list[float]] = []
        self.open = threading.Event()
        self.open.set()

    def price(self, references, num_frames, size, prompt) -> Price:
        return Price(0, 1)

    def preprocess(self, sample) -> float:
        if not any(image.any() for image in sample.references.images):
            raise ReferenceWithoutFace("the references are black", details={"reference": 0})
        if sample.video.frames_THWC[0, 0, 0, 0] == 99:
            raise ScoringFailed("this one can't be prepared")
        return float(sample.video.frames_THWC.mean())

    def forward(self, batch):
        self.open.wait(60)
        self.batches.append(list(batch))
        if 13.0 in batch:
            raise RuntimeError("out of memory at secret place")
        return [np.nan if value == 7.0 else value / 255 for value in batch]

    def postprocess(self, raw) -> Score:
        return Score(raw, {"brightness": raw})

    def warm_up(self) -> None:
        self.forward([1.0])
        self.batches.clear()

    def caches(self) -> tuple:
        return ()


LOADED: list[Brightness] = []


def load(device: str) -> Brightness:
    LOADED.append(Brightness(device))
    return LOADED[-1]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    module = types.ModuleType("brightness_for_tests")
    module.load = load
    monkeypatch.setitem(sys.modules, "brightness_for_tests", module)
    monkeypatch.setitem(SCORERS, "brightness", "brightness_for_tests:load")


@pytest.fixture
def scorer() -> Brightness:
    return Brightness("cpu")


@pytest.fixture
async def make_engine():
    made = []

    def make(**settings) -> ScoringEngine:
        engine = ScoringEngine(flat_settings(**{"models": ("brightness",), "decode_workers": 0} | settings))
        engine.start()
        made.append(engine)
        return engine

    yield make
    for engine in made:
        await engine.close()


@pytest.fixture
def engine(make_engine) -> ScoringEngine:
    return make_engine()


def pixels(array: np.ndarray) -> Pixels:
    return Pixels(shape=list(array.shape), data=array.tobytes())


@pytest.fixture
def reference():
    return lambda value=50, size=8: Image(pixels=pixels(np.full((size, size, 3), value, np.uint8)))


@pytest.fixture
def video():
    return lambda value, frames=6, **more: Video(
        frames=pixels(np.full((frames, 8, 8, 3), value, np.uint8)), **({"fps": 8} | more)
    )
