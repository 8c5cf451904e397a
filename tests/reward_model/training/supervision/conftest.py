"""A small initial model and a rendered cast for the tests of face supervision."""

import pytest

from reward_model.data.records import read_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.training.configs.files import read_config
from reward_model.training.data.casts import by_cast
from reward_model.training.data.media import FileMedia
from reward_model.training.models.initial import initial_model
from reward_model.training.supervision.face_tokens import FaceTokenFinder
from reward_model.training.supervision.ground_truth import GroundTruth


@pytest.fixture(scope="module")
def initial_weights():
    config = read_config("smoke")
    return initial_model(config.model, 0)


@pytest.fixture(scope="module")
def media(initial_weights):
    model, tokenizer = initial_weights
    return FileMedia(Preprocessor(model.config, tokenizer))


@pytest.fixture(scope="module")
def find(people, initial_weights):
    return FaceTokenFinder(GroundTruth(people), initial_weights[0].config.frame_sampling)


@pytest.fixture(scope="module")
def cast(people):
    """The pairs of the cast with the most people."""
    casts = by_cast(read_pairs(people / "train.jsonl"))
    return max(casts, key=lambda pairs: len(pairs[0].references))
