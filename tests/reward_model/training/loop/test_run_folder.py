from tests.reward_model.training.helpers.pairs import make_data
from tests.reward_model.training.helpers.runs import losses, run


def test_changed_initial_weights_are_refused(four_pairs, tmp_path):
    start, other, out = tmp_path / "start", tmp_path / "other", tmp_path / "run"
    assert run(four_pairs, start, steps=1).exit_code == run(four_pairs, other, steps=1, seed=1).exit_code == 0
    fields = {"steps": 2, "model.init": start / "model", "model.frame_sampling": "null"}
    assert run(four_pairs, out, **fields).exit_code == 0
    (out / "model").rename(tmp_path / "model")
    for name in ("model.safetensors", "config.json"):
        (start / "model" / name).write_bytes((other / "model" / name).read_bytes())
    result = run(four_pairs, out, "--resume", **fields)
    assert result.exit_code == 2
    assert "the weights of model.init have changed" in result.output


def test_folder_of_another_run_or_of_no_run_is_refused(four_pairs, tmp_path):
    out = tmp_path / "run"
    assert run(four_pairs, out, steps=2).exit_code == 0
    assert "exists already; --resume goes on with it" in run(four_pairs, out).output
    result = run(four_pairs, out, "--resume", steps=3)
    assert result.exit_code == 2
    assert "steps was 2 and is 3" in result.output
    (out / "config.yaml").write_text("a: [")
    result = run(four_pairs, out, "--resume", steps=2)
    assert (result.exit_code, "config.yaml can't be read as YAML" in result.output) == (2, True)
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "unrelated/file").write_text("")
    assert "holds no run" in run(four_pairs, tmp_path / "unrelated", "--resume").output


def test_changed_pairs_are_refused_without_allow_changes(tmp_path):
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
