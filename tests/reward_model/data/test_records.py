import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reward_model.data.records import (
    PreferencePair,
    RecordError,
    Reference,
    Votes,
    read_pairs,
    resolve,
    scan_pairs,
    write_pairs,
)

LINE = {
    "pair_id": "7",
    "prompt": "Two people in a park.",
    "references": [{"path": "references/anna.png", "person": "anna"}, {"path": "references/bo.png", "person": "bo"}],
    "video_a": "clips/a.mp4",
    "video_b": "clips/b.mp4",
    "votes": {"A": 2, "B": 0, "tie": 1},
    "source": "human",
    "split": "train",
}


def file_of(tmp_path, *lines):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("votes", "label"),
    [((3, 0, 0), "A"), ((1, 2, 0), "B"), ((0, 1, 2), "tie"), ((1, 1, 1), None), ((0, 0, 0), None), ((2, 2, 0), None)],
)
def test_label_is_the_majority(tmp_path, votes, label):
    votes = dict(zip(("A", "B", "tie"), votes, strict=True))
    (pair,) = read_pairs(file_of(tmp_path, {**LINE, "votes": votes}))
    assert pair.label == label
    assert pair.has_label == (label is not None)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_majority_is_more_than_half(a, b, tie):
    majority = Votes(A=a, B=b, tie=tie).majority
    counts = {"A": a, "B": b, "tie": tie}
    assert (majority is None) == (2 * max(counts.values()) <= a + b + tie)
    assert majority is None or 2 * counts[majority] > a + b + tie


def test_records_round_trip(tmp_path):
    meta = {"mode": "drift", "cluster": "s1", "a": {"modes": {"drift": 0.5}, "quality": -0.4}}
    pairs = [
        PreferencePair.model_validate({**LINE, "meta": meta, "fps": 16.0}),
        PreferencePair.model_validate(
            {**LINE, "pair_id": "ü\n", "prompt": "a\u2028b\u2029c\x85d", "votes": {"A": 1, "B": 1, "tie": 1}}
        ),
    ]
    path = tmp_path / "train.jsonl"
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs
    assert [p.name for p in tmp_path.iterdir()] == ["train.jsonl"]
    assert resolve(path, pairs[0].video_a) == tmp_path / "clips/a.mp4"
    assert [pair.cluster for pair in pairs] == ["s1", "anna+bo"]
    assert pairs[0].persons == ("anna", "bo")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({**LINE, "label": "B"}, r"line 2: the label is B, but the votes \(2 A, 0 B, 1 tie\) say A"),
        ({**LINE, "label": None}, "the label is None, but"),
        ({**LINE, "label": "same"}, "label: Input should be 'A', 'B' or 'tie', got 'same'"),
        ({**LINE, "fps": 0}, "fps: Input should be greater than 0, got 0"),
        ({**LINE, "fps": float("nan")}, "fps"),
        ({**LINE, "references": []}, "references"),
        ({**LINE, "votes": {"A": -1}}, "votes.A|A: Input should be greater than or equal to 0, got -1"),
        ({**LINE, "vidoe_a": "x"}, "vidoe_a: Extra inputs are not permitted"),
        ({key: value for key, value in LINE.items() if key != "votes"}, "votes: Field required"),
        ({**LINE, "votes": 3}, "line 2: "),
        ("{broken", "line 2: no JSON .*one JSON object a line"),
        ("[1]", "line 2: "),
    ],
)
def test_invalid_line_is_reported_with_the_reason(tmp_path, line, message):
    path = file_of(tmp_path, LINE, line, {**LINE, "pair_id": "8"})
    with pytest.raises(RecordError, match=message) as error:
        read_pairs(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    records = list(scan_pairs(path))
    assert [type(record) for record in records] == [PreferencePair, RecordError, PreferencePair]


def test_files_without_records_are_refused(tmp_path):
    with pytest.raises(RecordError, match="no such file"):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(RecordError, match="no pairs in it"):
        read_pairs(file_of(tmp_path, ""))
    (tmp_path / "clip.mp4").write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(RecordError, match="UTF-8 JSONL"):
        read_pairs(tmp_path / "clip.mp4")


def test_records_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Reference(path="a.png", person="a").person = "b"
