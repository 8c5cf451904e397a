"""`run.json`: what a run was made with, so that its numbers can be made again."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from identity_reward_client.messages import ModelInfo
from reward_model.training.loop.state import write_atomically

RECORD = "run.json"
PACKAGES = ("identity-reward", "identity-reward-client", "torch", "accelerate", "peft", "diffusers", "numpy")
_SOURCE = Path(__file__).parents[3]


def record_start(
    out: Path, config: Mapping[str, Any], models: Mapping[str, ModelInfo], num_processes: int, first_step: int
) -> None:
    """Writes `run.json` in the run's folder, or adds a start to it when the run is resumed.

    `models` are those that reward, by name of the source. A start has the time, the first step, the configuration, the
    commit, versions of packages, the machine, and name, version and fingerprint of each model.
    """
    start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "first_step": first_step,
        "command": sys.argv,
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": {
            "platform": platform.platform(),
            "processes": num_processes,
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "reward_models": {
            name: info.model_dump(include={"name", "version", "fingerprint", "domain"}) for name, info in models.items()
        },
        "config": dict(config),
    }
    write_atomically(out / RECORD, json.dumps({"starts": [*_earlier(out), start]}, indent=1) + "\n")


def fingerprints(out: Path) -> dict[str, str]:
    """Of the reward models of the last start, by name of the source; empty before the first."""
    starts = _earlier(out)
    return {name: model["fingerprint"] for name, model in starts[-1]["reward_models"].items()} if starts else {}


def commit() -> str | None:
    """The commit of this package's checkout, with a plus sign if tracked files differ from it; None outside one."""
    git = ["git", "-C", str(_SOURCE)]
    try:
        root = subprocess.run([*git, "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True).stdout
        if Path(root.strip()).resolve() != _SOURCE.resolve():
            return None  # installed into the folder of another project
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _earlier(out: Path) -> Sequence[Any]:
    try:
        return json.loads((out / RECORD).read_text())["starts"]
    except (OSError, json.JSONDecodeError, KeyError):
        return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
