"""Videos of prompts with and without an adapter, from the same noise, as files of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch

from reward_model.training.errors import TrainingError
from reward_model.training.loop.state import write_atomically
from trainer.config import GrpoConfig
from trainer.noise import Noise
from trainer.policies.adapters import add_lora, base_weights, load_peft
from trainer.prompts import Prompt
from trainer.rollout import sample_clips

from ..policy import open_policy
from ..task import EVALUATION
from .video_files import write_mp4

Side = Literal["before", "after"]
SIDES: tuple[Side, ...] = ("before", "after")
RECORD = "sample.json"


@dataclass(frozen=True)
class SamplePlan:
    """What is sampled: `videos` of each prompt, with and without the adapter, into the folder `out`."""

    config: GrpoConfig
    adapter: Path
    prompts: tuple[Prompt, ...]
    videos: int
    out: Path

    def path(self, side: Side, index: int, video: int) -> Path:
        """The file of a video of the prompt with this index."""
        name = re.sub(r"[^\w.-]+", "_", self.prompts[index].key)
        return self.out / side / f"{index:04d}-{name}-{video}.mp4"

    def paths(self, side: Side, index: int) -> list[Path]:
        """The files of a prompt's videos."""
        return [self.path(side, index, video) for video in range(self.videos)]

    def record(self) -> dict[str, Any]:
        """What decides the content of the files; a resumed command must find it again."""
        config = self.config.model_dump(mode="json")
        fields = ("policy", "adapter", "sampling", "evaluation_sampling", "seed", "precision")
        return {
            "config": {name: config[name] for name in fields},
            "adapter_sha256": _sha256(sorted(self.adapter.glob("*.safetensors"))),
            "prompts": [
                [prompt.key, prompt.text, _sha256(prompt.references)] for prompt in self.prompts
            ],
            "videos": self.videos,
        }  # fmt: skip


def check_folder(plan: SamplePlan, resume: bool) -> None:
    """TrainingError for a folder that is there without `resume`, and for one of other videos."""
    if not plan.out.exists():
        return
    if not resume:
        raise TrainingError(f"{plan.out} exists; give another folder, or --resume to go on with it")
    path, record = plan.out / RECORD, plan.record()
    if not path.is_file():
        raise TrainingError(f"{plan.out} has no {RECORD}: it is no folder of this command")
    found = json.loads(path.read_text())
    if differing := [name for name in record if found.get(name) != record[name]]:
        raise TrainingError(f"{plan.out} holds other videos: it differs in {', '.join(differing)}")


def missing(plan: SamplePlan) -> list[int]:
    """Indices of prompts of which a file is not there yet."""
    return [
        index
        for index in range(len(plan.prompts))
        if not all(path.is_file() for side in SIDES for path in plan.paths(side, index))
    ]


def sample_pairs(plan: SamplePlan, indices: Sequence[int]) -> Iterator[int]:
    """Samples these prompts by the evaluation's sampler and noise, and yields each index once its files are there.

    Raises TrainingError for a policy that can't be loaded or an adapter that does not fit it.
    """
    config = plan.config
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    policy = open_policy(config, plan.prompts, device)
    adapter = config.adapter
    add_lora(policy.network, policy.lora_targets, adapter.rank, adapter.alpha, config.seed)
    load_peft(policy.network, plan.adapter)
    network = policy.network.to(device).eval()
    sample = partial(
        sample_clips,
        policy,
        network,
        noise=Noise(config.seed, EVALUATION),
        sampling=config.sampling,
        evaluation=config.evaluation_sampling,
    )
    plan.out.mkdir(parents=True, exist_ok=True)
    write_atomically(plan.out / RECORD, json.dumps(plan.record(), indent=1, ensure_ascii=False) + "\n")
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
    for index in indices:
        for side in SIDES:
            # PEFT changes which parameters take gradients, and nothing here does
            with autocast, base_weights(network) if side == "before" else nullcontext():
                clips = sample(plan.prompts[index], plan.videos)
            for path, clip in zip(plan.paths(side, index), clips, strict=True):
                write_mp4(path, clip, policy.fps)
        yield index


def _sha256(paths: Sequence[Path]) -> str:
    digest = sha256()
    for path in paths:
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()
