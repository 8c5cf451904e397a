"""Photographs of ten synthetic people (OpenPeople), and clips composed of them in memory."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import openpeople
import pytest
from PIL import Image

from reward_model.faces.arcface import ArcFaceScorer, load
from reward_model.types import ReferenceSet, Sample, Video

CURATED = Path(openpeople.__file__).parent / "data/curated"


@cache
def _photograph(person: int, name: str) -> np.ndarray:
    image = Image.open(CURATED / f"P{person:03d}/assets/{name}.jpg").convert("RGB")
    image.thumbnail((1024, 1024))
    return np.array(image)


@pytest.fixture(scope="session")
def photograph() -> Callable[[int, str], np.ndarray]:
    """(person, name) -> [H, W, 3] uint8, longer side 1024."""
    return _photograph


@pytest.fixture(scope="session")
def scorer() -> ArcFaceScorer:
    scorer = load()
    scorer.warm_up()
    return scorer


@pytest.fixture(scope="session")
def references(photograph) -> Callable[..., ReferenceSet]:
    """The studio portraits of the people with these numbers."""
    return lambda *people: ReferenceSet(tuple(photograph(person, "studio_portrait") for person in people))


@pytest.fixture(scope="session")
def scene(photograph) -> Callable[..., np.ndarray]:
    """People side by side, [480, 320 * people, 3] uint8; None leaves a panel empty."""

    def panel(person: int | None) -> np.ndarray:
        if person is None:
            return np.full((480, 320, 3), 90, np.uint8)
        return cv2.resize(photograph(person, "amateur_selfie"), (320, 480), interpolation=cv2.INTER_AREA)

    return lambda *people: np.concatenate([panel(person) for person in people], axis=1)


@pytest.fixture(scope="session")
def sample(references, scene) -> Callable[..., Sample]:
    """sample((1, 5), (1, 5), (1, None)): references, then a frame for each further tuple."""

    def make(people: tuple[int, ...], *frames: tuple[int | None, ...]) -> Sample:
        indices = tuple(range(len(frames)))
        video = Video(np.stack([scene(*frame) for frame in frames]), 16.0, len(frames), indices)
        return Sample(references(*people), video)

    return make


@pytest.fixture(scope="session")
def score(scorer):
    """Sample -> Score, by `scorer` or another one."""
    return lambda sample, by=scorer: by.postprocess(by.forward([by.preprocess(sample)])[0])
