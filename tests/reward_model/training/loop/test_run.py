"""The run loop on a toy model: errors, signals and kills keep the state of the last completed step."""

import os
import re
import signal

import pytest
import torch

from reward_model.data.records import read_pairs, resolve
from reward_model.training.models.packed import PackedRewards
from reward_model.training.preferences.task import PreferenceTask
from tests.reward_model.training.helpers.pairs import make_data
from tests.reward_model.training.helpers.runs import (
    losses,
    run,
    run_killed_in_step,
    run_two_processes,
    start_two_processes,
)
from tests.support.waiting import wait_until


def test_not_finite_loss_stops_the_run_before_the_step(four_pairs, tmp_path):
    result = run(four_pairs, tmp_path / "run", learning_rates__head=1e36, save_every=1)
    assert result.exit_code == 2
    assert re.search(r"the (loss|norm of the gradient) of step [2-6] is (nan|inf), with pairs train-0-", result.output)
    saved = sorted((tmp_path / "run/state").iterdir())[-1]
    assert f"is in {saved}" in " ".join(result.output.split())
    assert not (tmp_path / "run/model").exists()


@pytest.mark.parametrize(("evaluate_every", "what"), [(100, "step 3"), (2, "measuring on dev after step 2")])
def test_out_of_memory_error_names_the_step_and_keeps_the_last_state(
    four_pairs, tmp_path, monkeypatch, evaluate_every, what
):
    forward, calls = PackedRewards.forward, []

    def out_of_memory_in_third_call(packed, sequences):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return forward(packed, sequences)

    out, fields = tmp_path / "run", {"save_every": 100, "evaluate_every": evaluate_every}
    with monkeypatch.context() as patch:
        patch.setattr(PackedRewards, "forward", out_of_memory_in_third_call)
        result = run(four_pairs, out, **fields)
    assert result.exit_code == 2
    assert f"has too little memory for {what}; lower micro_batch" in result.output
    assert f"The last state is in {out}/state/step-00000002" in result.output
    assert run(four_pairs, out, "--resume", **fields).exit_code == 0
    assert run(four_pairs, tmp_path / "whole", **fields).exit_code == 0
    assert losses(out) == losses(tmp_path / "whole")


def test_error_of_an_unreadable_file_names_it_and_keeps_the_last_state(tmp_path):
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


def test_error_of_an_unreadable_dev_clip_keeps_the_last_state(tmp_path):
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


def test_a_killed_run_resumes_to_the_same_weights(four_pairs, tmp_path):
    fields = {"steps": 40, "save_every": 5, "evaluate_every": 1000}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(four_pairs, whole, **fields).exit_code == 0
    killed = run_killed_in_step(12, four_pairs, cut, **fields)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(losses(cut)) == 12
    result = run(four_pairs, cut, "--resume", **fields)
    assert result.exit_code == 0, result.output
    assert losses(cut) == losses(whole)
    assert (cut / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()
    # resuming a finished run changes nothing
    assert run(four_pairs, cut, "--resume", **fields).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_prints_the_command_to_resume(four_pairs, tmp_path, monkeypatch, number):
    out, step = tmp_path / "run", PreferenceTask.step

    def signal_in_step_three(task, index, batch):
        if index == 2:
            os.kill(os.getpid(), number)
        return step(task, index, batch)

    monkeypatch.setattr(PreferenceTask, "step", signal_in_step_three)
    before = signal.getsignal(number)
    result = run(four_pairs, out, steps=1000, save_every=1000)
    assert result.exit_code == 130
    assert len(losses(out)) == 3
    assert [path.name for path in (out / "state").iterdir()] == ["step-00000003"]
    assert f"identity-reward train-reward {out}/config.yaml --out {out} --resume" in result.output
    assert signal.getsignal(number) is before


def test_a_signal_before_the_first_step_ends_the_run(four_pairs, tmp_path, monkeypatch):
    out, prepare = tmp_path / "run", PreferenceTask.prepare

    def terminate_in_prepare(task, fresh):
        os.kill(os.getpid(), signal.SIGTERM)
        return prepare(task, fresh)

    with monkeypatch.context() as patch:
        patch.setattr(PreferenceTask, "prepare", terminate_in_prepare)
        result = run(four_pairs, out)
    assert result.exit_code == 130
    assert "stopped; nothing was trained yet" in result.output
    assert run(four_pairs, out, "--resume").exit_code == 0


@pytest.mark.slow
def test_a_signal_stops_two_processes_together(four_pairs, tmp_path):
    out = tmp_path / "run"
    process = start_two_processes(four_pairs, out, micro_batch=2, steps=5000, save_every=5000, evaluate_every=5000)
    wait_until(lambda: len(losses(out)) >= 3, "three steps are taken", running=process)
    process.terminate()
    _, output = process.communicate(timeout=100)
    assert [path.name for path in (out / "state").iterdir()] == [f"step-{len(losses(out)):08d}"]
    assert f"to go on: accelerate launch -m reward_model.training {out}/config.yaml" in output


@pytest.mark.slow
def test_error_in_one_process_stops_both_and_keeps_the_last_state(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    make_data(data, ["A", "B", "A", "B"])
    dev = make_data(data, ["A", "B", "A", "B"], "dev.jsonl", seed=1)
    resolve(dev, read_pairs(dev)[1].video_b).write_bytes(b"no clip")
    completed = run_two_processes(data, out, micro_batch=2, save_every=100)
    assert completed.returncode != 0
    assert "measuring on dev after step 3: another process could not read its pairs" in completed.stderr
    assert [path.name for path in (out / "state").iterdir()] == ["step-00000003"]
    out = tmp_path / "nan"
    completed = run_two_processes(
        data, out, micro_batch=2, save_every=100, evaluate_every=100, learning_rates__head=1e36
    )
    assert "with pairs train-0-" in completed.stderr
    saved = [path.name for path in (out / "state").iterdir()]
    assert saved == ["step-00000001"]
    assert f"The last state is in {out}/state/{saved[0]}" in completed.stderr
