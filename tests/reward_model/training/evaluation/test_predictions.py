from dataclasses import replace

import pytest

from identity_reward_client.preference import Preference
from reward_model.data.records import read_pairs, resolve, write_pairs
from reward_model.registry import load_scorer
from reward_model.training.errors import TrainingError
from reward_model.training.evaluation.predictions import predict
from tests.reward_model.training.helpers.pairs import LABELS, make_data


class CountingScorer:
    """A scorer that counts the videos it scores."""

    def __init__(self, scorer):
        self._scorer, self.info, self.count = scorer, scorer.info, 0
        self.preprocess, self.postprocess = scorer.preprocess, scorer.postprocess

    def forward(self, batch):
        self.count += len(batch)
        return self._scorer.forward(batch)


@pytest.fixture(scope="module")
def tiny():
    return load_scorer("tiny")


def pairs_with_shared_videos(five_pairs):
    """The pairs and one more, which compares the videos of the first pair in the other order."""
    pairs = read_pairs(five_pairs)
    first = pairs[0]
    update = {
        "pair_id": "more",
        "video_a": first.video_b,
        "video_b": first.video_a,
        "label": Preference.B,
        "votes": LABELS["B"],
    }
    write_pairs(five_pairs, [*pairs, first.model_copy(update=update)])
    return read_pairs(five_pairs)


def test_each_distinct_video_is_scored_once(tiny, five_pairs):
    pairs = pairs_with_shared_videos(five_pairs)
    counting = CountingScorer(tiny)
    predictions = predict(counting, five_pairs, pairs, batch=3)
    assert counting.count == 10
    assert predictions[-1].difference == -predictions[0].difference
    assert [prediction.pair_id for prediction in predictions] == [pair.pair_id for pair in pairs]


def test_truncated_predictions_file_is_completed(tiny, five_pairs, tmp_path):
    pairs, file = read_pairs(five_pairs), tmp_path / "predictions.jsonl"
    whole = predict(tiny, five_pairs, pairs, file)
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    file.write_text("".join(lines[:2]) + lines[2][:30])
    counting = CountingScorer(tiny)
    assert predict(counting, five_pairs, pairs, file, batch=2) == whole
    assert counting.count == 6
    assert file.read_text() == "".join(lines)
    counting = CountingScorer(tiny)
    assert predict(counting, five_pairs, pairs, file) == whole
    assert counting.count == 0
    # rewards in another dtype are not reused
    counting = CountingScorer(tiny)
    counting.info = replace(tiny.info, dtype="bfloat16")
    predict(counting, five_pairs, pairs, file)
    assert counting.count == 10
    # a pair with the same id and other videos is scored again
    swapped = [pair.model_copy(update={"video_a": pair.video_b, "video_b": pair.video_a}) for pair in pairs]
    counting = CountingScorer(tiny)
    predict(counting, five_pairs, swapped, file)
    assert counting.count == 10
    file.write_text("{}\n")
    with pytest.raises(TrainingError, match="is no file of predictions"):
        predict(tiny, five_pairs, pairs, file)


def test_cached_predictions_depend_on_the_content_of_files(tiny, five_pairs, tmp_path):
    file = tmp_path / "predictions.jsonl"
    predict(tiny, five_pairs, read_pairs(five_pairs), file)
    other = make_data(tmp_path / "other", ["A", "B", "tie", "A", "B"])
    pairs = read_pairs(other)
    assert predict(counting := CountingScorer(tiny), other, pairs, file) == predict(
        tiny, five_pairs, read_pairs(five_pairs)
    )
    assert counting.count == 0
    for path in (pairs[0].references[0].path, pairs[1].video_b):
        resolve(other, path).write_bytes(resolve(other, pairs[2].references[0].path).read_bytes())
    changed = predict(counting := CountingScorer(tiny), other, pairs, file)
    # both videos with the changed reference are scored, and one of the pair whose other video is now an image
    assert counting.count == 3
    assert changed[1].b.reward is None
    assert changed[0] != predict(tiny, five_pairs, read_pairs(five_pairs))[0]
