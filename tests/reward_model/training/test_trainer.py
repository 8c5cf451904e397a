"""Trainings of a toy model on four pairs, by the command's own function, with real signals and kills."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from reward_model.data.packed_clip import write_packed
from reward_model.data.records import read_pairs, resolve, write_pairs
from reward_model.identity_reward import load_folder
from reward_model.training.cli import train_reward
from reward_model.training.errors import Interrupted
from reward_model.training.journal import read_metrics
from reward_model.training.packed import PackedRewards
from reward_model.training.predictions import predict
from reward_model.types import Video
from tests.reward_model.training.pairs import make_data
from tests.test_architecture import ROOT

app = typer.Typer()
app.command()(train_reward)
QUICK = {
    "batch": 4, "micro_batch": 4, "steps": 6, "save_every": 2, "evaluate_every": 3, "optimizer.warmup": 0,
    "optimizer.schedule": "constant_with_warmup", "model.frame_sampling": "tiny-uniform-4",
}  # fmt: skip


def arguments(data, out, *more, **fields):
    given = {**QUICK, **{key.replace("__", "."): value for key, value in fields.items()}}
    sets = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    return ["smoke", "--data", str(data), "--out", str(out), *sets, *more]


def run(data, out, *more, **fields):
    return CliRunner().invoke(app, arguments(data, out, *more, **fields))


def losses(out):
    return [line["loss"] for line in read_metrics(out) if "loss" in line]


@pytest.fixture(scope="module")
def overfitted(four_pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "overfitted"
    result = run(four_pairs, out, steps=40, evaluate_every=20, save_every=20)
    assert result.exit_code == 0, result.output
    return out


def test_a_tiny_model_overfits_four_pairs(four_pairs, overfitted):
    path = losses(overfitted)
    assert path[0] > 0.5
    assert path[-1] < 0.2
    pairs = read_pairs(four_pairs / "train.jsonl")
    scorer = load_folder(overfitted / "model")
    differences = [one.difference for one in predict(scorer, four_pairs / "train.jsonl", pairs)]
    assert differences[0] > 2
    assert differences[1] < -2
    assert abs(differences[2]) < 1
    assert scorer.info.name == "smoke"


def test_the_folder_of_a_run(overfitted):
    assert {path.name for path in overfitted.iterdir()} == {
        "config.yaml", "state", "metrics.jsonl", "tensorboard", "curves.png", "model"
    }  # fmt: skip
    assert [path.name for path in sorted((overfitted / "state").iterdir())] == ["step-00000020", "step-00000040"]
    assert (overfitted / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((overfitted / "tensorboard").iterdir())
    dev = [line["dev"] for line in read_metrics(overfitted) if "dev" in line]
    assert len(dev) == 2
    assert set(dev[0]) >= {"accuracy_without_ties", "accuracy_with_ties", "loss"}


def test_killed_and_resumed_is_uninterrupted(four_pairs, tmp_path):
    fields = {"steps": 40, "save_every": 5, "evaluate_every": 1000}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(four_pairs, whole, **fields).exit_code == 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "reward_model.training", *arguments(four_pairs, cut, **fields)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (cut / "metrics.jsonl").exists() or len(losses(cut)) < 12:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = losses(cut)
    assert 12 <= len(before) < 40
    result = run(four_pairs, cut, "--resume", **fields)
    assert result.exit_code == 0, result.output
    assert losses(cut) == losses(whole)
    assert (cut / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()
    # a finished run is left as it is
    assert run(four_pairs, cut, "--resume", **fields).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_the_state_and_tells_how_to_go_on(four_pairs, tmp_path, number):
    out = tmp_path / "run"

    def stop_after_three():
        while not (out / "metrics.jsonl").exists() or len(losses(out)) < 3:
            time.sleep(0.005)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    thread = threading.Thread(target=stop_after_three)
    thread.start()
    result = run(four_pairs, out, steps=1000, save_every=1000)
    thread.join()
    assert result.exit_code == 130
    done = len(losses(out))
    assert [path.name for path in (out / "state").iterdir()] == [f"step-{done:08d}"]
    assert f"identity-reward train-reward {out}/config.yaml --out {out} --resume" in result.output
    assert signal.getsignal(number) is before


def test_another_micro_batch_learns_the_same(four_pairs, tmp_path):
    for micro in (1, 4):
        assert run(four_pairs, tmp_path / str(micro), micro_batch=micro).exit_code == 0
    np.testing.assert_allclose(losses(tmp_path / "1"), losses(tmp_path / "4"), atol=2e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lora_trains_adapters_vision_head_and_the_reward_token(four_pairs, overfitted, tmp_path, precision):
    out = tmp_path / "run"
    result = run(
        four_pairs, out, lora="{r: 4, alpha: 8, dropout: 0.1}", model__init=overfitted / "model", precision=precision,
        model__saved_dtype="float32", model__gradient_checkpointing="true",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    old, new = (load_folder(folder).model.state_dict() for folder in (overfitted / "model", out / "model"))
    token = load_folder(out / "model").preprocess.tokenizer.special("<|identity_reward|>")
    same_rows = (old["body.language_model.embed_tokens.weight"] == new["body.language_model.embed_tokens.weight"]).all(
        1
    )
    assert (~same_rows).nonzero().flatten().tolist() == [token]
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert {name for name in changed if "language_model" in name} == {
        name for name in old if name.endswith("_proj.weight") and "language_model" in name
    } | {"body.language_model.embed_tokens.weight"}
    assert {"head.weight", "norm.weight", "body.visual.merger.ln_q.weight"} < changed


def two_processes(*given, **fields):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1",
        f"--master_port={port}", "-m", "reward_model.training", *arguments(*given, **fields),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


def test_how_to_go_on_in_several_processes(four_pairs, tmp_path, monkeypatch):
    def stopped(*given):
        raise Interrupted("stopped", num_processes=2)

    monkeypatch.setattr("reward_model.training.trainer.train", stopped)
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


def test_a_batch_without_a_decided_pair_has_no_accuracy(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    make_data(data, ["A", "tie", "B", "tie"])
    assert run(data, out, batch=1, steps=8).exit_code == 0
    lines = [line for line in read_metrics(out) if "loss" in line]
    assert {line["decided"] for line in lines} == {0, 1}
    assert all(("accuracy" in line) == (line["decided"] > 0) for line in lines)


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


def test_a_loss_that_is_not_finite_stops_before_the_step(four_pairs, tmp_path):
    result = run(four_pairs, tmp_path / "run", learning_rates__head=1e36, save_every=1)
    assert result.exit_code == 2
    assert re.search(r"the (loss|norm of the gradient) of step [2-6] is (nan|inf), with pairs train-0-", result.output)
    saved = sorted((tmp_path / "run/state").iterdir())[-1]
    assert f"is in {saved}" in " ".join(result.output.split())
    assert not (tmp_path / "run/model").exists()


def test_too_little_memory_loses_nothing(four_pairs, tmp_path, monkeypatch):
    forward, calls = PackedRewards.forward, []

    def too_little_in_the_third(packed, sequences):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return forward(packed, sequences)

    out, fields = tmp_path / "run", {"save_every": 100, "evaluate_every": 100}
    with monkeypatch.context() as patch:
        patch.setattr(PackedRewards, "forward", too_little_in_the_third)
        result = run(four_pairs, out, **fields)
    assert result.exit_code == 2
    assert "has too little memory for step 3; lower micro_batch" in result.output
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


def test_folders_that_hold_something_else(four_pairs, tmp_path):
    out = tmp_path / "run"
    assert run(four_pairs, out, steps=2).exit_code == 0
    assert "exists already; --resume goes on with it" in run(four_pairs, out).output
    result = run(four_pairs, out, "--resume", steps=3)
    assert result.exit_code == 2
    assert "steps was 2 and is 3" in result.output
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
