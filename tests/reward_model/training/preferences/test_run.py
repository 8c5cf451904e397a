"""Trainings of a toy model on four pairs, with real signals and kills."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from reward_model.data.records import read_pairs
from reward_model.qwen.loading import load_folder
from reward_model.training.evaluation.predictions import predict
from reward_model.training.loop.journal import read_metrics
from tests.reward_model.training.pairs import make_data
from tests.reward_model.training.runs import arguments, losses, run
from tests.support.paths import ROOT


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


def test_a_batch_without_a_decided_pair_has_no_accuracy(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    make_data(data, ["A", "tie", "B", "tie"])
    assert run(data, out, batch=1, steps=8).exit_code == 0
    lines = [line for line in read_metrics(out) if "loss" in line]
    assert {line["decided"] for line in lines} == {0, 1}
    assert all(("accuracy" in line) == (line["decided"] > 0) for line in lines)
