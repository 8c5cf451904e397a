"""Runs of GRPO on the toy policy, in this process and in several.

python -m tests.trainer.helpers.runs OUT PROMPTS_FOLDER KEY=VALUE...
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from identity_reward_client import FakeRewardClient
from identity_reward_client.errors import InternalError
from reward_model.training.loop.journal import read_metrics
from tests.support.paths import ROOT
from tests.trainer.helpers.toy_policy import ToyPolicy, exact_reward, make_prompts
from trainer.config import GrpoConfig
from trainer.rewards import RemoteReward
from trainer.run.task import train

# small, and of a rate and a clip range for probabilities of 32 dimensions
QUICK = {
    "policy": {"factory": "tests.trainer.helpers.toy_policy:ToyPolicy"},
    "data": {"prompts": "unused"},
    "sampling": {"num_steps": 6, "guidance": 1.0, "batch": 4},
    "evaluation_sampling": {"num_steps": 6, "guidance": 1.0},
    "adapter": {"rank": 8, "alpha": 8},
    "optimizer": {"learning_rate": 3e-3},
    "loss": {"clip_range": 0.1},
    "group_size": 4,
    "groups_per_update": 2,
    "micro_batch": 4,
    "steps": 3,
    "save_every": 1,
}


def make_config(**fields) -> GrpoConfig:
    """QUICK with the values of `fields`; `__` in a name separates a section from its field."""
    values = {name: dict(value) if isinstance(value, dict) else value for name, value in QUICK.items()}
    for name, value in fields.items():
        *sections, last = name.split("__")
        section = values
        for part in sections:
            section = section.setdefault(part, {})
        section[last] = value
    return GrpoConfig.model_validate(values)


def run(out: Path, prompts, reward=exact_reward, options=None, client=None, policy=ToyPolicy, **fields) -> Path:
    """Trains the toy in this process; `options` are those of `train`."""
    torch.set_num_threads(1)
    return train(
        make_config(**fields),
        out,
        load_policy=lambda device: policy(),
        prompts=prompts,
        open_reward=lambda: RemoteReward(client or FakeRewardClient(reward=reward)),
        **(options or {}),
    )


def start(
    processes: int, out: Path, folder: Path, module: str = "tests.trainer.helpers.runs", **fields
) -> subprocess.CompletedProcess:
    """Trains the toy, or what `module` trains, in several processes and waits for them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_addr=127.0.0.1",
        f"--master_port={port}", "-m", module, str(out), str(folder),
        *(f"{name}={value}" for name, value in fields.items()),
    ]  # fmt: skip
    paths = os.pathsep.join(str(ROOT / name) for name in (".", "clients", "kernels"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


def values_of(out: Path, name: str) -> list[float]:
    """A value of the journal, of every step that has it."""
    return [line[name] for line in read_metrics(out) if name in line]


def main(out: Path, folder: Path, *arguments: str) -> None:
    """Trains, and writes the weights of this process to `rank-N.safetensors`.

    KEY `failing_rank` is the process whose reward fails for every video.
    """
    policies, rank = [], os.environ["RANK"]

    class Kept(ToyPolicy):
        def __init__(self):
            super().__init__()
            policies.append(self)

    fields = {name: yaml.safe_load(text) for name, text in (argument.split("=", 1) for argument in arguments)}
    errors = {}
    if str(fields.pop("failing_rank", None)) == rank:
        errors = {member: InternalError("the item failed") for member in range(QUICK["group_size"])}
    client = FakeRewardClient(reward=exact_reward, fail=errors)
    run(out, make_prompts(folder, 4), client=client, policy=Kept, **fields)
    weights = {name: p.detach().contiguous() for name, p in policies[0].network.named_parameters() if p.requires_grad}
    save_file(weights, out / f"rank-{rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
