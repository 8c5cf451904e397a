"""Trainings by the command's own function."""

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


def arguments(data, out, *more, **fields):
    given = {**QUICK, **{key.replace("__", "."): value for key, value in fields.items()}}
    sets = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    return ["smoke", "--data", str(data), "--out", str(out), *sets, *more]


def run(data, out, *more, **fields):
    return CliRunner().invoke(app, arguments(data, out, *more, **fields))


def losses(out):
    return [line["loss"] for line in read_metrics(out) if "loss" in line]


def two_processes(*given, **fields):
    done = start_two(*given, **fields)
    _, told = done.communicate(timeout=200)
    return subprocess.CompletedProcess(done.args, done.returncode, None, told)


def start_two(*given, **fields):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1",
        f"--master_port={port}", "-m", "reward_model.training", *arguments(*given, **fields),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
