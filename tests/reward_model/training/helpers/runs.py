"""Runs the training command in this process, in a subprocess, and in two distributed processes."""

import os
import socket
import subprocess
import sys

import typer
from typer.testing import CliRunner

from reward_model.training.cli import train_reward
from reward_model.training.loop.journal import read_metrics
from tests.support.paths import ROOT

app = typer.Typer()
app.command()(train_reward)
QUICK = {
    "batch": 4, "micro_batch": 4, "steps": 6, "save_every": 2, "evaluate_every": 3, "optimizer.warmup": 0,
    "optimizer.schedule": "constant_with_warmup", "model.frame_sampling": "tiny-uniform-4",
}  # fmt: skip
# runs the command of its arguments, and kills itself when the step with the number in the first argument begins
KILLED = """
import os, signal, sys
from reward_model.training.preferences.task import PreferenceTask
from tests.reward_model.training.helpers.runs import app

step, last = PreferenceTask.step, int(sys.argv.pop(1))

def step_or_kill(task, number, batch):
    if number == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(task, number, batch)

PreferenceTask.step = step_or_kill
app()
"""


def arguments(data, out, *more, **fields):
    values = {**QUICK, **{key.replace("__", "."): value for key, value in fields.items()}}
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return ["smoke", "--data", str(data), "--out", str(out), *sets, *more]


def run(data, out, *more, **fields):
    return CliRunner().invoke(app, arguments(data, out, *more, **fields))


def run_killed_in_step(number, data, out, **fields):
    """The completed process of a training that is killed after `number` steps."""
    command = [sys.executable, "-c", KILLED, str(number), *arguments(data, out, **fields)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def losses(out):
    return [line["loss"] for line in read_metrics(out) if "loss" in line]


def run_two_processes(*args, **fields):
    """The completed process of a training in two processes, with its stderr."""
    process = start_two_processes(*args, **fields)
    _, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, None, stderr)


def start_two_processes(*args, **fields):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1",
        f"--master_port={port}", "-m", "reward_model.training", *arguments(*args, **fields),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
