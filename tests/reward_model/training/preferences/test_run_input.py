"""What a training refuses, and what it says."""

import json

import numpy as np

from reward_model.data.packed_clip import write_packed
from reward_model.data.records import read_pairs, resolve, write_pairs
from reward_model.types import Video
from tests.reward_model.training.pairs import make_data
from tests.reward_model.training.runs import losses, run


def test_a_packed_clip_of_other_frames(tmp_path):
    data = tmp_path / "data"
    jsonl = make_data(data, ["A", "B"])
    clip = resolve(jsonl, read_pairs(jsonl)[0].video_a)
    write_packed(clip, Video(np.zeros((3, 56, 56, 3), np.uint8), 8.0, 30, (0, 1, 2)))
    result = run(data, tmp_path / "run", batch=2)
    assert result.exit_code == 2
    assert "holds frames [0, 1, 2] of 30, and frame sampling tiny-uniform-4 looks at [0, 10, 19, 29]" in result.output


def test_missing_files_are_listed_before_anything_starts(tmp_path):
    data = tmp_path / "data"
    jsonl = make_data(data, ["A", "B", "A"])
    gone = [resolve(jsonl, pair.video_a) for pair in read_pairs(jsonl)[:2]]
    for path in gone:
        path.unlink()
    result = run(data, tmp_path / "run")
    assert result.exit_code == 2
    assert "2 files that it names aren't there" in result.output
    assert all(str(path) in result.output for path in gone)
    assert not (tmp_path / "run").exists()


def test_labels_that_teach_nothing(tmp_path):
    make_data(tmp_path / "ties", ["tie"] * 3)
    result = run(tmp_path / "ties", tmp_path / "run")
    assert result.exit_code == 2
    assert "all 3 pairs are ties; nothing says which video is better" in result.output
    result = run(tmp_path / "ties", tmp_path / "run", loss__kind="bt")
    assert "all 3 pairs are ties, and this loss leaves ties out" in result.output
    make_data(tmp_path / "one", ["A"] * 4)
    result = run(tmp_path / "one", tmp_path / "run", steps=1)
    assert result.exit_code == 0
    assert "every decided pair says A" in result.output
    (tmp_path / "none").mkdir()
    (tmp_path / "none/train.jsonl").write_text("")
    assert "no pairs in it" in run(tmp_path / "none", tmp_path / "other").output
    line = json.loads((tmp_path / "one/train.jsonl").read_text().splitlines()[0])
    line |= {"label": None, "votes": {"A": 1, "B": 1, "tie": 1}}
    (tmp_path / "none/train.jsonl").write_text(json.dumps(line) + "\n")
    assert "none of its 1 pairs has a majority" in run(tmp_path / "none", tmp_path / "other").output


def test_persons_of_training_and_of_dev(tmp_path):
    data = tmp_path / "data"
    train = make_data(data, ["A", "B"])
    dev = make_data(data, ["A", "B"], "dev.jsonl", seed=1)
    write_pairs(dev, [*read_pairs(dev), read_pairs(train)[1]])
    result = run(data, tmp_path / "run")
    assert result.exit_code == 2
    assert f"{train} and {dev} show the same persons: person of train-0-1; " in result.output
    assert not (tmp_path / "run").exists()


def test_weights_to_begin_with_that_changed_since(four_pairs, tmp_path):
    start, other, out = tmp_path / "start", tmp_path / "other", tmp_path / "run"
    assert run(four_pairs, start, steps=1).exit_code == run(four_pairs, other, steps=1, seed=1).exit_code == 0
    given = {"steps": 2, "model.init": start / "model", "model.frame_sampling": "null"}
    assert run(four_pairs, out, **given).exit_code == 0
    (out / "model").rename(tmp_path / "model")
    for name in ("model.safetensors", "config.json"):
        (start / "model" / name).write_bytes((other / "model" / name).read_bytes())
    result = run(four_pairs, out, "--resume", **given)
    assert result.exit_code == 2
    assert "the weights of model.init have changed" in result.output


def test_folders_that_hold_something_else(four_pairs, tmp_path):
    out = tmp_path / "run"
    assert run(four_pairs, out, steps=2).exit_code == 0
    assert "exists already; --resume goes on with it" in run(four_pairs, out).output
    result = run(four_pairs, out, "--resume", steps=3)
    assert result.exit_code == 2
    assert "steps was 2 and is 3" in result.output
    (out / "config.yaml").write_text("a: [")
    result = run(four_pairs, out, "--resume", steps=2)
    assert (result.exit_code, "config.yaml can't be read as YAML" in result.output) == (2, True)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange/file").write_text("")
    assert "holds no run" in run(four_pairs, tmp_path / "strange", "--resume").output


def test_pairs_that_changed_since(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    jsonl = make_data(data, ["A", "B", "A", "B"])
    assert run(data, out, steps=2).exit_code == 0
    (out / "model").rename(tmp_path / "model")
    jsonl.write_text("".join(jsonl.read_text().splitlines(keepends=True)[:3]))
    result = run(data, out, "--resume", steps=2)
    assert result.exit_code == 2
    assert "the file of data.clean has changed" in result.output
    result = run(data, out, "--resume", "--allow-changes", steps=4)
    assert result.exit_code == 0, result.output
    assert "going on with a change: steps was 2 and is 4" in result.output
    assert len(losses(out)) == 4


def test_what_cannot_be_started_from(four_pairs, tmp_path):
    for init, message in (
        ("nowhere", "neither scratch nor a folder"),
        (four_pairs, "lacks config.json, model.safetensors, tokenizer.json"),
    ):
        result = run(four_pairs, tmp_path / "run", model__init=init)
        assert result.exit_code == 2
        assert message in result.output


def test_batches_that_do_not_divide(four_pairs, tmp_path):
    result = run(four_pairs, tmp_path / "run", batch=4, micro_batch=3)
    assert result.exit_code == 2
    assert "4 pairs of a batch for each process are no multiple of micro_batch 3" in result.output
