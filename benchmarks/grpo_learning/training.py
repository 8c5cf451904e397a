"""Runs of `identity-reward grpo`, each in a folder of its own, which go on where they stopped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reward_model.training.loop.result import RESULT

from ..support import harness
from .settings import Setting


def run(folder: Path, setting: Setting, seed: int, prompts: Path, held_out: Path, url: str) -> Path:
    """Trains on the file `prompts`, or goes on, and returns the folder of the adapter."""
    if not (folder / RESULT).is_dir():
        values = {
            "data.prompts": prompts,
            "data.evaluation_prompts": held_out,
            "rewards.url": url,
            "groups_per_update": setting.groups,
            "sampling.initial_noise": setting.initial_noise,
            "steps": setting.steps,
            "evaluate_every": max(setting.steps // 2, 1),
            "save_every": 5,
            "seed": seed,
        }
        command = [str(Path(sys.executable).with_name("identity-reward")), "grpo", "people", "--out", str(folder)]
        command += [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        if (folder / "config.yaml").is_file():
            # the address of the service is another one in every run of the benchmark
            command += ["--resume", "--allow-changes"]
        ended = subprocess.run(command, cwd=harness.ROOT, check=False)
        harness.gate(ended.returncode == 0, f"{folder} did not train")
    return folder / RESULT
