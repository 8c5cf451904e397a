"""What stops a training leaves its state; in several processes, in all of them together."""

import json
import re
import time

import numpy as np
import pytest
import torch

from reward_model.data.records import read_pairs, resolve, write_pairs
from reward_model.training.errors import Interrupted
from reward_model.training.loop.journal import read_metrics
from reward_model.training.models.packed import PackedRewards
from tests.reward_model.training.pairs import make_data
from tests.reward_model.training.runs import losses, run, start_two, two_processes


def test_a_loss_that_is_not_finite_stops_before_the_step(four_pairs, tmp_path):
    result = run(four_pairs, tmp_path / "run", learning_rates__head=1e36, save_every=1)
    assert result.exit_code == 2
    assert re.search(r"the (loss|norm of the gradient) of step [2-6] is (nan|inf), with pairs train-0-", result.output)
    saved = sorted((tmp_path / "run/state").iterdir())[-1]
    assert f"is in {saved}" in " ".join(result.output.split())
    assert not (tmp_path / "run/model").exists()


@pytest.mark.parametrize(("evaluate_every", "what"), [(100, "step 3"), (2, "measuring on dev after step 2")])
def test_too_little_memory_loses_nothing(four_pairs, tmp_path, monkeypatch, evaluate_every, what):
    forward, calls = PackedRewards.forward, []

    def too_little_in_the_third(packed, sequences):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return forward(packed, sequences)

    out, fields = tmp_path / "run", {"save_every": 100, "evaluate_every": evaluate_every}
    with monkeypatch.context() as patch:
        patch.setattr(PackedRewards, "forward", too_little_in_the_third)
        result = run(four_pairs, out, **fields)
    assert result.exit_code == 2
    assert f"has too little memory for {what}; lower micro_batch" in result.output
    assert f"The last state is in {out}/state/step-00000002" in result.output
    assert run(four_pairs, out, "--resume", **fields).exit_code == 0
    assert run(four_pairs, tmp_path / "whole", **fields).exit_code == 0
    assert losses(out) == losses(tmp_path / "whole")


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_lost(tmp_path):
    data = tmp_path / "data"
    jsonl = make_data(data, ["A", "B", "A", "B", "A", "B"])
    pair = read_pairs(jsonl)[4]
    clip = resolve(jsonl, pair.video_b)
    whole = clip.read_bytes()
    clip.write_bytes(whole[:100])
    out, fields = tmp_path / "run", {"batch": 1, "micro_batch": 1, "save_every": 100}
    result = run(data, out, **fields)
    assert result.exit_code == 2
    assert f"pair {pair.pair_id} of {jsonl}" in result.output
    assert pair.video_b in result.output
    clip.write_bytes(whole)
    result = run(data, out, "--resume", **fields)
    assert result.exit_code == 0, result.output
    assert run(data, tmp_path / "whole", **fields).exit_code == 0
    assert losses(out) == losses(tmp_path / "whole")


def test_a_bad_clip_of_dev_loses_no_training(tmp_path):
    data = tmp_path / "data"
    make_data(data, ["A", "B", "A", "B"])
    dev = make_data(data, ["A", "B"], "dev.jsonl", seed=1)
    pair = read_pairs(dev)[1]
    clip = resolve(dev, pair.video_b)
    whole = clip.read_bytes()
    clip.write_bytes(whole[:100])
    out, fields = tmp_path / "run", {"save_every": 100}
    result = run(data, out, **fields)
    assert result.exit_code == 2
    assert f"measuring on dev after step 3: pair {pair.pair_id} of {dev}" in result.output
    assert f"The last state is in {out}/state/step-00000003" in result.output
    clip.write_bytes(whole)
    result = run(data, out, "--resume", **fields)
    assert result.exit_code == 0, result.output
    assert len(losses(out)) == 6


def test_a_dev_pair_of_one_video_twice(tmp_path):
    data = tmp_path / "data"
    make_data(data, ["A", "B", "A", "B"])
    dev = make_data(data, ["A", "tie", "B"], "dev.jsonl", seed=1)
    pairs = read_pairs(dev)
    pairs[1] = pairs[1].model_copy(update={"video_b": pairs[1].video_a})
    write_pairs(dev, pairs)
    result = run(data, tmp_path / "run", steps=3)
    assert result.exit_code == 0, result.output
    assert any("dev" in line for line in read_metrics(tmp_path / "run"))


def test_how_to_go_on_in_several_processes(four_pairs, tmp_path, monkeypatch):
    def stopped(*given):
        raise Interrupted("stopped", num_processes=2)

    monkeypatch.setattr("reward_model.training.preferences.task.train", stopped)
    result = run(four_pairs, out := tmp_path / "run")
    assert (
        f"to go on: accelerate launch -m reward_model.training {out}/config.yaml --out {out} --resume" in result.output
    )


def test_a_state_of_shards_is_not_for_one_process(four_pairs, tmp_path):
    out = tmp_path / "run"
    assert run(four_pairs, out, steps=2, micro_batch=4).exit_code == 0
    (out / "model").rename(tmp_path / "model")
    told = out / "state/step-00000002/state.json"
    values = json.loads(told.read_text())
    assert values["written"] == "whole"
    told.write_text(json.dumps({**values, "written": "FSDP"}))
    result = run(four_pairs, out, "--resume", steps=2)
    assert result.exit_code == 2
    assert "was written under FSDP; resume with the same accelerate config: accelerate launch" in result.output
    assert "remove" not in result.output


@pytest.mark.slow
def test_a_signal_to_two_processes(four_pairs, tmp_path):
    out = tmp_path / "run"
    process = start_two(four_pairs, out, micro_batch=2, steps=5000, save_every=5000, evaluate_every=5000)
    deadline = time.monotonic() + 100
    while len(losses(out)) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.terminate()
    _, told = process.communicate(timeout=100)
    assert [path.name for path in (out / "state").iterdir()] == [f"step-{len(losses(out)):08d}"]
    assert f"to go on: accelerate launch -m reward_model.training {out}/config.yaml" in told


@pytest.mark.slow
def test_two_processes_stop_together_with_their_state(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    make_data(data, ["A", "B", "A", "B"])
    dev = make_data(data, ["A", "B", "A", "B"], "dev.jsonl", seed=1)
    resolve(dev, read_pairs(dev)[1].video_b).write_bytes(b"no clip")
    done = two_processes(data, out, micro_batch=2, save_every=100)
    assert done.returncode != 0
    assert "measuring on dev after step 3: another process could not read its pairs" in done.stderr
    assert [path.name for path in (out / "state").iterdir()] == ["step-00000003"]
    out = tmp_path / "nan"
    done = two_processes(data, out, micro_batch=2, save_every=100, evaluate_every=100, learning_rates__head=1e36)
    assert "with pairs train-0-" in done.stderr
    saved = [path.name for path in (out / "state").iterdir()]
    assert saved == ["step-00000001"]
    assert f"The last state is in {out}/state/{saved[0]}" in done.stderr


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(four_pairs, tmp_path):
    fields = {"micro_batch": 2, "loss__kind": "bt"}
    assert run(four_pairs, tmp_path / "one", **fields).exit_code == 0
    done = two_processes(four_pairs, tmp_path / "two", **fields)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), atol=1e-4)
    dev = [[line["dev"]["loss"] for line in read_metrics(tmp_path / n) if "dev" in line] for n in ("one", "two")]
    np.testing.assert_allclose(*dev, atol=1e-3)
