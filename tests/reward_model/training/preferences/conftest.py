"""Pairs of two casts, read by a tiny model's preprocessing."""

import pytest

from reward_model.data.records import read_pairs, write_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_tokenizer
from reward_model.training.data.media import FileMedia
from tests.reward_model.training.helpers.pairs import make_data


@pytest.fixture(scope="module")
def media():
    tokenizer = tiny_tokenizer()
    return FileMedia(Preprocessor(tiny_config(tokenizer), tokenizer))


@pytest.fixture(scope="module")
def casts(tmp_path_factory):
    """Two casts: the first has two pairs of three videos, the second has one pair."""
    jsonl = make_data(tmp_path_factory.mktemp("casts"), ["A", "A", "A"])
    first, second, other = read_pairs(jsonl)
    shared = first.model_copy(update={"pair_id": "again", "video_b": second.video_b})
    write_pairs(jsonl, [first, shared, other])
    return jsonl
