"""Preference training of a toy model on four pairs and on rendered people."""

import numpy as np
import pytest
import torch

from reward_model.data.records import read_pairs
from reward_model.qwen.loading import load_folder
from reward_model.training.configs.files import read_config
from reward_model.training.errors import TrainingError
from reward_model.training.evaluation.predictions import predict
from reward_model.training.loop.journal import read_metrics
from reward_model.training.preferences.task import train
from tests.reward_model.training.helpers.pairs import make_data
from tests.reward_model.training.helpers.runs import losses, run


@pytest.fixture(scope="module")
def overfitted(four_pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "overfitted"
    result = run(four_pairs, out, steps=40, evaluate_every=20, save_every=20)
    assert result.exit_code == 0, result.output
    return out


def test_a_tiny_model_overfits_four_pairs(four_pairs, overfitted):
    loss_curve = losses(overfitted)
    assert loss_curve[0] > 0.5
    assert loss_curve[-1] < 0.2
    pairs = read_pairs(four_pairs / "train.jsonl")
    scorer = load_folder(overfitted / "model")
    differences = [prediction.difference for prediction in predict(scorer, four_pairs / "train.jsonl", pairs)]
    assert differences[0] > 2
    assert differences[1] < -2
    assert abs(differences[2]) < 1
    assert scorer.info.name == "smoke"


def test_files_of_a_finished_run(overfitted):
    assert {path.name for path in overfitted.iterdir()} == {
        "config.yaml", "state", "metrics.jsonl", "tensorboard", "curves.png", "model"
    }  # fmt: skip
    assert [path.name for path in sorted((overfitted / "state").iterdir())] == ["step-00000020", "step-00000040"]
    assert (overfitted / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((overfitted / "tensorboard").iterdir())
    dev = [line["dev"] for line in read_metrics(overfitted) if "dev" in line]
    assert len(dev) == 2
    assert set(dev[0]) >= {"accuracy_without_ties", "accuracy_with_ties", "loss"}


def test_losses_do_not_depend_on_micro_batch(four_pairs, tmp_path):
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


def test_step_without_a_decided_pair_has_no_accuracy(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    make_data(data, ["A", "tie", "B", "tie"])
    assert run(data, out, batch=1, steps=8).exit_code == 0
    lines = [line for line in read_metrics(out) if "loss" in line]
    assert {line["decided"] for line in lines} == {0, 1}
    assert all(("accuracy" in line) == (line["decided"] > 0) for line in lines)


def settings(people, **more):
    values = {
        "data.clean": people / "train.jsonl", "data.dev": people / "dev.jsonl", "data.groups": True,
        "data.foreign_references": 1, "data.mirror": True, "batch": 2, "micro_batch": 1, "steps": 8,
        "evaluate_every": 8, "save_every": 4, "supervision": "{attention: 1.0, matching: 1.0}", **more,
    }  # fmt: skip
    return read_config("smoke", [f"{key}={value}" for key, value in values.items()])


def test_a_run_with_supervision_resumes_to_the_same_weights(people, tmp_path):
    folder = train(settings(people), tmp_path / "whole")
    lines = [line for line in read_metrics(tmp_path / "whole") if "loss" in line]
    assert lines[-1]["attention"] < lines[0]["attention"]
    assert all(line["matching"] > 0 and line["corruptions"] > 0 for line in lines)
    assert "supervision" not in (folder / "config.json").read_text()
    for state in sorted((tmp_path / "whole" / "state").glob("step-*"))[1:]:
        (state / "state.json").unlink()
    (tmp_path / "cut").mkdir()
    for path in (tmp_path / "whole").iterdir():
        if path.name != "model":
            path.rename(tmp_path / "cut" / path.name)
    resumed = train(settings(people), tmp_path / "cut", resume=True)
    assert (resumed / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_supervision_needs_rendered_people(people, tmp_path):
    jsonl = make_data(tmp_path, ["A", "B"])
    with pytest.raises(TrainingError, match=r"has no world\.json of `identity-reward data people`"):
        train(settings(people, **{"data.clean": jsonl}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
