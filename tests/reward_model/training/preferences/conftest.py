"""Pairs of two casts, read by a tiny model's preprocessing."""

import pytest

from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_tokenizer
from reward_model.training.data.media import FileMedia


@pytest.fixture(scope="module")
def media():
    tokenizer = tiny_tokenizer()
    return FileMedia(Preprocessor(tiny_config(tokenizer), tokenizer))
