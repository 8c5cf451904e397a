"""Runs of the tiny policy against a real service; what a run cannot start with is in tests/e2e/training."""

import json

import pytest
import torch

from reward_model.training.loop.journal import read_metrics
from tests.support.paths import EXAMPLES
from trainer.config import read_grpo_config
from trainer.run.reports.run_record import RECORD
from trainer.run.start import start


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config(url, **fields):
    values = {
        "rewards.url": url,
        "data.prompts": EXAMPLES / "prompts.jsonl",
        "data.evaluation_prompts": "null",
        "groups_per_update": 1,
        "steps": 2,
        "tracking.draw_every": 0,
        **{name.replace("__", "."): value for name, value in fields.items()},
    }
    return read_grpo_config("smoke", [f"{name}={value}" for name, value in values.items()])


def step_lines(out):
    return [line for line in read_metrics(out) if "dev" not in line]


def test_a_run_writes_its_adapter_its_record_and_its_curves(url, tmp_path, caplog):
    model = start(config(url, guards__measures="[motion]"), out := tmp_path / "run")
    assert (model / "adapter_model.safetensors").is_file()
    assert (out / "rewards.png").is_file()
    assert [set(line) & {"motion", "saturation", "duplicates"} for line in step_lines(out)] == [
        {"motion", "duplicates"}
    ] * 2
    assert "tiny has random weights: its rewards mean nothing" in caplog.text
    [begin] = json.loads((out / RECORD).read_text())["starts"]
    assert begin["config"]["steps"] == 2
    assert begin["reward_models"]["identity"]["name"] == "tiny"


def test_a_watched_reward_that_falls_ends_the_run_with_its_adapter(url, tmp_path, caplog):
    """The trained reward is minus the watched one."""
    watched = {
        "rewards__sources": "[{name: minus, weight: -1}, {name: watched, weight: 0}]",
        "guards__early_stop": "{watched: watched, fall: 1.0e-9, window: 1}",
        "data__evaluation_prompts": EXAMPLES / "prompts.jsonl",
    }
    model = start(config(url, steps=30, save_every=30, evaluate_every=30, **watched), out := tmp_path / "run")
    num_steps = len(step_lines(out))
    assert num_steps < 30
    assert (
        f"the run ends after {num_steps} steps: the policy exploits the reward: in means of 1 steps, watched fell"
        in caplog.text
    )
    assert (model / "adapter_model.safetensors").is_file()
    assert (out / f"evaluations/step-{num_steps:08d}.ema.json").is_file()


def test_another_reward_model_on_resume_is_a_warning(url, tmp_path, caplog):
    settings = {"save_every": 1, "steps": 2}
    start(config(url, **settings), out := tmp_path / "run")
    record = json.loads((out / RECORD).read_text())
    record["starts"][-1]["reward_models"]["identity"]["fingerprint"] = "another"
    (out / RECORD).write_text(json.dumps(record))
    start(config(url, **settings), out, resume=True)
    assert "the model of the reward identity is another one than before" in caplog.text
    assert f"{out} is finished already" in caplog.text


def test_the_trained_and_the_released_profile_both_start(url, tmp_path, caplog, capsys):
    start(config(url, profile="release", groups_per_update=2), tmp_path / "run")
    assert "the release starts from its published LoRA" in capsys.readouterr().err
