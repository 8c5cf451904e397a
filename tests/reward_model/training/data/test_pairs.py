import json

from reward_model.data.records import read_pairs, write_pairs
from tests.reward_model.training.helpers.pairs import make_data
from tests.reward_model.training.helpers.runs import run


def test_pairs_without_usable_labels_are_refused_and_one_sided_labels_warned_about(tmp_path):
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


def test_persons_in_both_training_and_dev_pairs_are_refused(tmp_path):
    data = tmp_path / "data"
    train = make_data(data, ["A", "B"])
    dev = make_data(data, ["A", "B"], "dev.jsonl", seed=1)
    write_pairs(dev, [*read_pairs(dev), read_pairs(train)[1]])
    result = run(data, tmp_path / "run")
    assert result.exit_code == 2
    assert f"{train} and {dev} show the same persons: person of train-0-1; " in result.output
    assert not (tmp_path / "run").exists()
