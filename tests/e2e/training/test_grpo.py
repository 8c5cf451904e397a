"""`identity-reward grpo` against a real service that is killed and restarted: the weights are those of a quiet run."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from reward_model.training.loop.journal import read_metrics
from tests.e2e.load.faults import RestartableServer
from tests.support.paths import EXAMPLES, ROOT
from tests.support.server import COMMAND
from tests.support.small_disk import small_disk
from tests.support.waiting import GENEROUS_S, wait_until

STEPS = 8
SETTINGS = {
    "data.prompts": EXAMPLES / "prompts.jsonl",
    "data.evaluation_prompts": EXAMPLES / "prompts.jsonl",
    "steps": STEPS,
    "evaluate_every": STEPS,
    "save_every": 3,
    "groups_per_update": 2,
    "tracking.draw_every": 0,
    "guards.early_stop": "{watched: second, fall: 1e9}",
    "rewards.sources": "[{name: identity}, {name: second, weight: 0}]",
}
# values of a step that depend on how busy the machine is
TIMES = {"seconds", "scoring_s", "waited_s"}


# the command of the arguments after the first three: before the step of that number it does what the second one says,
# and waits for the file of the third one
HELD = """
import os, signal, sys, time
from pathlib import Path

from trainer.cli import grpo
from trainer.run.task import GrpoTask

number, action, folder = int(sys.argv.pop(1)), sys.argv.pop(1), Path(sys.argv.pop(1))
step = GrpoTask.step

def held(task, n, batch):
    if n == number and action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if n == number:
        (folder / "held").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    return step(task, n, batch)

GrpoTask.step = held
grpo()
"""


def arguments(url, out, *more):
    settings = [f"--set={key}={value}" for key, value in {"rewards.url": url, **SETTINGS}.items()]
    return ["smoke", "--out", str(out), *settings, *more]


def start(command, url, out, *more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*command, *arguments(url, out, *more)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def run(url, out, *more):
    return finish(start([COMMAND, "grpo"], url, out, *more))


def held(number, action, folder):
    return [sys.executable, "-c", HELD, str(number), action, str(folder)]


def finish(process):
    _, errors = process.communicate(timeout=2 * GENEROUS_S)
    assert process.returncode == 0, errors
    return errors


def steps(out):
    """Values of every step, without times."""
    lines = [line for line in read_metrics(out) if "dev" not in line]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def evaluations(out):
    return {path.name: json.loads(path.read_text())["rewards"] for path in (out / "evaluations").glob("*.json")}


@pytest.fixture(scope="module")
def server(serve):
    """A result is never kept: every run is scored."""
    server = RestartableServer(serve, {"IDENTITY_REWARD_RESULT_CACHE_ENTRIES": "0"})
    yield server
    server.end()


@pytest.fixture(scope="module")
def quiet(server, tmp_path_factory):
    """The folder of a run that nothing disturbs."""
    out = tmp_path_factory.mktemp("grpo") / "quiet"
    run(server.url, out)
    assert len(steps(out)) == STEPS
    assert not any(step["missing"] for step in steps(out))
    return out


def assert_same_run(out, expected):
    assert steps(out) == steps(expected)
    assert evaluations(out) == evaluations(expected)
    for part in ("", "trained"):
        file = f"model/{part}/adapter_model.safetensors"
        weights, before = load_file(out / file), load_file(expected / file)
        assert weights.keys() == before.keys()
        assert all(torch.equal(weights[name], before[name]) for name in before)
        assert any(tensor.any() for name, tensor in before.items() if "lora_B" in name), "it trained"


def test_a_service_that_is_killed_in_the_middle_changes_nothing(server, quiet, tmp_path):
    out = tmp_path / "disturbed"
    process = start(held(3, "wait", tmp_path), server.url, out)
    wait_until((tmp_path / "held").exists, "the fourth step begins", running=process)
    server.kill()
    (tmp_path / "go").touch()
    server.start()
    finish(process)
    assert_same_run(out, quiet)


def test_a_run_that_is_killed_goes_on_to_the_same_weights(server, quiet, tmp_path):
    out = tmp_path / "killed"
    process = start(held(5, "die", tmp_path), server.url, out)
    process.communicate()
    assert len(steps(out)) == 5
    run(server.url, out, "--resume")
    assert_same_run(out, quiet)
    first, second = json.loads((out / "run.json").read_text())["starts"]
    assert (first["first_step"], second["first_step"]) == (0, 3)
    assert first["reward_models"] == second["reward_models"]
    assert first["reward_models"]["identity"]["name"] == "tiny"


def test_two_processes_share_prompts_and_groups(server, quiet, tmp_path):
    out = tmp_path / "two"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1",
              f"--master_port={port}", "-m", "trainer.cli"]  # fmt: skip
    finish(start(launch, server.url, out))
    assert evaluations(out)["step-00000000.trained.json"] == evaluations(quiet)["step-00000000.trained.json"]
    assert steps(out)[0]["reward"] == pytest.approx(steps(quiet)[0]["reward"], abs=1e-9)
    assert len(json.loads((out / "run.json").read_text())["starts"]) == 1


def test_another_config_and_another_prompt_are_refused_on_resume(server, quiet, tmp_path):
    shutil.copytree(quiet, out := tmp_path / "finished")
    process = start([COMMAND, "grpo"], server.url, out, "--resume", "--set", "group_size=3")
    _, errors = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == 2
    assert "holds another run: group_size was 4 and is 3" in errors


def test_a_full_disk_at_a_checkpoint_is_one_line(server, tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        process = start(held(2, "wait", tmp_path), server.url, disk.folder / "run")
        wait_until((tmp_path / "held").exists, "the third step begins", running=process)
        disk.fill()
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=2 * GENEROUS_S)
        assert process.returncode == 2, errors
        assert "Traceback" not in errors
        assert re.search("the disk of .* is full|No space left on device", errors.splitlines()[-1])
        disk.free()
        run(server.url, disk.folder / "run", "--resume")
