from dataclasses import replace

import pytest

from identity_reward_client.preference import Preference
from reward_model.data.records import read_pairs, resolve, write_pairs
from reward_model.registry import load_scorer
from reward_model.training.errors import TrainingError
from reward_model.training.evaluation.predictions import predict
from tests.reward_model.training.helpers.pairs import LABELS, make_data


class Counting:
    """A scorer that counts what it is asked for."""

    def __init__(self, scorer):
        self._scorer, self.info, self.count = scorer, scorer.info, 0
        self.preprocess, self.postprocess = scorer.preprocess, scorer.postprocess

    def forward(self, batch):
        self.count += len(batch)
        return self._scorer.forward(batch)


@pytest.fixture(scope="module")
def tiny():
    return load_scorer("tiny")


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", ["A", "B", "tie", "A", "B"])


def shared_video(data):
    """The pairs and one more, which compares two videos of the first pair's references that were in it."""
    pairs = read_pairs(data)
    first = pairs[0]
    update = {
        "pair_id": "more",
        "video_a": first.video_b,
        "video_b": first.video_a,
        "label": Preference.B,
        "votes": LABELS["B"],
    }
    write_pairs(data, [*pairs, first.model_copy(update=update)])
    return read_pairs(data)


def test_each_distinct_video_is_scored_once(tiny, data):
    pairs = shared_video(data)
    counting = Counting(tiny)
    found = predict(counting, data, pairs, batch=3)
    assert counting.count == 10
    assert found[-1].difference == -found[0].difference
    assert [one.pair_id for one in found] == [pair.pair_id for pair in pairs]


def test_a_truncated_file_of_predictions_is_completed(tiny, data, tmp_path):
    pairs, file = read_pairs(data), tmp_path / "predictions.jsonl"
    whole = predict(tiny, data, pairs, file)
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    file.write_text("".join(lines[:2]) + lines[2][:30])
    counting = Counting(tiny)
    assert predict(counting, data, pairs, file, batch=2) == whole
    assert counting.count == 6
    assert file.read_text() == "".join(lines)
    counting = Counting(tiny)
    assert predict(counting, data, pairs, file) == whole
    assert counting.count == 0
    # rewards in bfloat16 are others
    counting = Counting(tiny)
    counting.info = replace(tiny.info, dtype="bfloat16")
    predict(counting, data, pairs, file)
    assert counting.count == 10
    # another video under a known name of a pair is another thing
    swapped = [pair.model_copy(update={"video_a": pair.video_b, "video_b": pair.video_a}) for pair in pairs]
    counting = Counting(tiny)
    predict(counting, data, swapped, file)
    assert counting.count == 10
    file.write_text("{}\n")
    with pytest.raises(TrainingError, match="is no file of predictions"):
        predict(tiny, data, pairs, file)


def test_files_of_the_same_name_with_other_content_are_scored(tiny, data, tmp_path):
    file = tmp_path / "predictions.jsonl"
    predict(tiny, data, read_pairs(data), file)
    other = make_data(tmp_path / "other", ["A", "B", "tie", "A", "B"])
    pairs = read_pairs(other)
    assert predict(counting := Counting(tiny), other, pairs, file) == predict(tiny, data, read_pairs(data))
    assert counting.count == 0
    for path in (pairs[0].references[0].path, pairs[1].video_b):
        resolve(other, path).write_bytes(resolve(other, pairs[2].references[0].path).read_bytes())
    changed = predict(counting := Counting(tiny), other, pairs, file)
    # both videos beside the changed reference, and what of the changed video can be: it is a picture now
    assert counting.count == 3
    assert changed[1].b.reward is None
    assert changed[0] != predict(tiny, data, read_pairs(data))[0]
