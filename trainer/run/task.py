"""A GRPO run as a `Task` of the run loop: sample, score, advantages, optimise."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import torch

from reward_model.training.loop.processes import Processes, TrainedModule
from reward_model.training.loop.run import Measurement, Schedule

from ..config import GrpoConfig
from ..policies.base import VideoPolicy
from ..prompts import Prompt
from ..rewards import RemoteReward
from .hooks import Evaluation, Guards


def train(
    config: GrpoConfig,
    out: Path,
    *,
    load_policy: Callable[[torch.device], VideoPolicy],
    prompts: Sequence[Prompt],
    open_reward: Callable[[], RemoteReward],
    hashes: dict[str, str] | None = None,
    fps: float | None = None,
    guards: Guards = (),
    evaluation: Evaluation | None = None,
    resume: bool = False,
    allow_changes: bool = False,
) -> Path:
    """Trains in the folder `out`, and returns the folder of the adapter. Raises the errors of `loop.run.run_task`.

    Args:
        config: of the run.
        out: folder of the run.
        load_policy: the policy on a device, with the weights to start from.
        prompts: to train on, with keys that differ.
        open_reward: the reward, in every process; closed at the end.
        hashes: sha256 of the inputs by name, which a resumed run must find again.
        fps: frames per second told to the reward; None is the policy's own.
        guards: watch every rollout.
        evaluation: measures before, during and after.
        resume, allow_changes: as of `run_task`.
    """
    raise NotImplementedError


class GrpoTask:
    """The `Task` of `kind: grpo`."""

    resume_note = "nothing was trained yet"
    memory_advice = "lower micro_batch and sampling.batch, or set gradient_checkpointing"
    config: GrpoConfig
    processes: Processes
    schedule: Schedule
    hashes: dict[str, str]
    trained: TrainedModule | None

    def build(self) -> None:
        """Loads the policy and adds LoRA."""

    def prepare(self, fresh: bool) -> list[str]:
        """Moves everything to its device."""
        return []

    def batches(self, first: int) -> Generator[tuple[int, list[tuple[str, Prompt]]], None, None]:
        """(number, groups of this process: key and prompt)."""
        yield from ()

    def step(self, number: int, batch: list[tuple[str, Prompt]]) -> dict[str, float]:
        """One rollout and its updates."""
        return {}

    def measure(self) -> Measurement | None:
        """Evaluates with the trained and the averaged weights."""
        return None

    def save_model(self, folder: Path) -> None:
        """Writes the adapter, trained and averaged."""
