"""`identity-reward data check` on data sets with one fault each."""

import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from reward_model.data.cli import MAX_LISTED, app
from reward_model.data.packed_clip import write_packed
from reward_model.data.records import PreferencePair, write_pairs
from reward_model.types import Video


def pair(name, split="train", person="anna", a="a.mp4", b="b.safetensors", votes=None, reference="anna.png"):
    return PreferencePair.model_validate(
        {
            "pair_id": name,
            "prompt": "One person.",
            "references": [{"path": reference, "person": person}],
            "video_a": a,
            "video_b": b,
            "votes": votes or {"A": 3},
            "source": "construction",
            "split": split,
        }
    )


@pytest.fixture
def folder(tmp_path, clip):
    (tmp_path / "a.mp4").write_bytes(clip(frames=6, size=(48, 64)))
    frames = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 3), dtype=np.uint8)
    write_packed(tmp_path / "b.safetensors", Video(frames, 16.0, 33, (0, 11, 21, 32)))
    Image.fromarray(frames[0]).save(tmp_path / "anna.png")
    return tmp_path


def check(*paths):
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["check", *map(str, paths)])


def data_set(folder, *pairs, name="train.jsonl"):
    write_pairs(folder / name, pairs)
    return folder / name


def test_valid_data_set_has_no_problems(folder):
    votes = {"A": 1, "B": 1, "tie": 1}
    train = data_set(folder, pair("1"), pair("2", votes=votes), pair("3", votes={"tie": 2, "B": 1}))
    Image.new("RGB", (28, 28)).save(folder / "bo.png")
    result = check(train, data_set(folder, pair("4", "test", "bo", reference="bo.png"), name="test.jsonl"))
    assert result.exit_code == 0, result.output
    assert "no problems" in result.stdout
    header, first, second = (line.split() for line in result.stdout.splitlines()[:3])
    assert header == ["file", "splits", "pairs", "A", "B", "tie", "no", "majority", "people"]
    assert first == ["train.jsonl", "train", "3", "1", "0", "1", "1", "1"]
    assert second == ["test.jsonl", "test", "1", "1", "0", "0", "0", "1"]


def cut_video(folder, clip):
    (folder / "x.mp4").write_bytes(clip(frames=30)[:4000])
    return pair("2", a="x.mp4")


def text_for_video(folder, clip):
    (folder / "x.mp4").write_text("hello" * 100)
    return pair("2", a="x.mp4")


def cut_packed(folder, clip):
    (folder / "x.safetensors").write_bytes((folder / "b.safetensors").read_bytes()[:-9])
    return pair("2", b="x.safetensors")


def cut_image(folder, clip):
    (folder / "x.png").write_bytes((folder / "anna.png").read_bytes()[:-900])
    return pair("2", reference="x.png")


def equal_bytes(folder, clip):
    shutil.copy(folder / "a.mp4", folder / "x.mp4")
    return pair("2", a="x.mp4", b="a.mp4")


@pytest.mark.parametrize(
    ("add_fault", "kind", "message"),
    [
        (cut_video, "unreadable file", "x.mp4 (pair 2): "),
        (text_for_video, "unreadable file", "no video file of a known kind"),
        (cut_packed, "unreadable file", "no whole safetensors file"),
        (cut_image, "unreadable file", "x.png (pair 2): the reference"),
        (equal_bytes, "equal videos", "both videos of pair 2 are the same"),
        (lambda folder, clip: pair("2", b="a.mp4"), "equal videos", "pair 2"),
        (lambda folder, clip: pair("2", a="none.mp4"), "missing file", "none.mp4 (pair 2): no such file"),
        (lambda folder, clip: pair("2", reference="none.png"), "missing file", "none.png (pair 2): no such file"),
        (lambda folder, clip: pair("1"), "duplicate id", "pair 1 is there twice"),
        (lambda folder, clip: pair("2", "test"), "identity leak", "anna is in 2 splits: test (pair 2), train (pair"),
    ],
)
def test_fault_is_reported(folder, clip, add_fault, kind, message):
    result = check(data_set(folder, pair("1"), add_fault(folder, clip)))
    assert result.exit_code == 1, result.output
    assert f"{kind}: " in result.stderr
    assert message in result.stderr
    assert f"1 problems: 1 {kind}" in result.stderr


def test_one_image_under_two_names_in_two_splits_is_a_leak(folder):
    """Images are compared by content; one image under two names within a split is no leak."""
    shutil.copy(folder / "anna.png", folder / "x.png")
    train = data_set(folder, pair("1"), pair("2", person="anne", reference="x.png"))
    assert check(train).exit_code == 0
    result = check(train, data_set(folder, pair("3", "test", "bo", reference="x.png"), name="test.jsonl"))
    assert result.exit_code == 1
    assert "1 problems: 1 identity leak" in result.stderr
    assert (
        "one image is of bo in test (x.png, pair 3), anna in train (anna.png, pair 1), anne in train (x"
        in result.stderr
    )


def test_label_that_contradicts_its_votes_is_reported(folder):
    path = data_set(folder, pair("1"), pair("2"))
    path.write_text(path.read_text().replace('"label":"A"', '"label":"B"', 1))
    result = check(path)
    assert result.exit_code == 1
    assert "line 1: the label is B, but the votes (3 A, 0 B, 0 tie) say A" in result.stderr


def test_leaks_and_duplicates_across_files_are_reported(folder):
    first = data_set(folder, pair("1"))
    second = data_set(folder, pair("1", "dev"), name="dev.jsonl")
    assert check(first).exit_code == check(second).exit_code == 0
    result = check(first, second)
    assert result.exit_code == 1
    assert "identity leak: anna is in 2 splits: dev (pair 1), train (pair 1)" in result.stderr
    assert "duplicate id" in result.stderr


def test_only_the_first_problems_are_listed(folder):
    result = check(data_set(folder, *(pair(str(i), a=f"{i}.mp4") for i in range(MAX_LISTED + 5))))
    assert result.exit_code == 1
    assert result.stderr.count("no such file") == MAX_LISTED
    assert "... and 5 more" in result.stderr
    assert f"{MAX_LISTED + 5} problems: {MAX_LISTED + 5} missing file" in result.stderr


@pytest.mark.parametrize("text", [None, "", "\n", "{}\n", "\x00\x01"])
def test_unusable_input_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "pairs.jsonl"
    if text is not None:
        path.write_text(text)
    result = check(path)
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert len(result.stderr.splitlines()) == 1
