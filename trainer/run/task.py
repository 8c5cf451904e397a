"""A GRPO run as a `Task` of the run loop: sample, score, advantages, optimise.

The processes share the groups of a rollout. Noise, prompts and windows follow from the seed and the number of the step,
so that a resumed run continues as an undisturbed one, and what is learned does not depend on the number of processes.
"""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from identity_reward_client.fields.fps import Fps
from reward_model.training.errors import NotFinite, StepFailed, TrainingError
from reward_model.training.loop.processes import SHARDED, Processes, TrainedModule, reset_accelerate
from reward_model.training.loop.run import Measurement, Schedule, run_task
from reward_model.training.loop.schedule import set_rates

from ..config import GrpoConfig
from ..noise import Noise
from ..policies.adapters import add_lora, load_peft
from ..policies.base import VideoPolicy
from ..prompts import Prompt
from ..rewards import NoRewards, RemoteReward
from ..rollout import GroupRollout, sample_clips, trained_steps
from ..types import RolloutGroup, ScoredGroup, StepRewards
from ..updates.average import WeightAverage, decay_of
from ..updates.micro_batches import GroupAdvantages, optimizer_batches
from ..updates.objectives import build_objective
from ..updates.updater import ADVICE, Updater, UpdateResult, journal_values
from .accelerator import build_optimizer, enable_gradient_checkpointing, make_accelerator, network_to_sample
from .hooks import Guards, PolicyEvaluation, Weights
from .prompt_order import prompts_of_rollout
from .rewards import RolloutRewards, advantages_of, gathered

log = logging.getLogger("identity_reward.trainer")
# the update of `Noise` in evaluations
EVALUATION = -1
AVERAGED: Weights = "ema"


def train(
    config: GrpoConfig,
    out: Path,
    *,
    load_policy: Callable[[torch.device], VideoPolicy],
    prompts: Sequence[Prompt],
    open_reward: Callable[[], RemoteReward],
    hashes: dict[str, str] | None = None,
    fps: Fps | None = None,
    guards: Guards = (),
    evaluation: PolicyEvaluation | None = None,
    resume: bool = False,
    allow_changes: bool = False,
) -> Path:
    """Trains in the folder `out`, and returns the folder of the adapter. Raises the errors of `loop.run.run_task`.

    Args:
        config, out: of the run; `out` is its folder.
        load_policy: the policy on a device, with the weights to start from.
        prompts: to train on, with keys that differ.
        open_reward: the reward, in every process; closed at the end.
        hashes: sha256 of the inputs by name, which a resumed run must find again.
        fps: frames per second told to the reward; None is the policy's own.
        guards, evaluation: watch every rollout, and measure before, during and after; see `hooks`.
        resume, allow_changes: as of `run_task`.
    """
    try:
        task = GrpoTask(config, load_policy, prompts, open_reward, hashes, fps, guards, evaluation)
        try:
            return run_task(task, out, resume, allow_changes)
        finally:
            task.close()
    finally:
        reset_accelerate()


class GrpoTask:
    """The `Task` of `kind: grpo`; arguments as of `train`."""

    resume_note = "nothing was trained yet"
    memory_advice = "lower micro_batch and sampling.batch, or set gradient_checkpointing"

    def __init__(
        self,
        config: GrpoConfig,
        load_policy: Callable[[torch.device], VideoPolicy],
        prompts: Sequence[Prompt],
        open_reward: Callable[[], RemoteReward],
        hashes: dict[str, str] | None = None,
        fps: Fps | None = None,
        guards: Guards = (),
        evaluation: PolicyEvaluation | None = None,
    ):
        if len({prompt.key for prompt in prompts}) != len(prompts) or not prompts:
            raise TrainingError("GRPO needs prompts, with keys that differ")
        self.config = config
        self._load_policy, self._prompts, self._open_reward = load_policy, prompts, open_reward
        self._fps, self._guards, self._evaluation = fps, guards, evaluation
        self._accelerator = make_accelerator(config)
        self.processes = Processes(self._accelerator)
        self.schedule = Schedule(config.steps, config.save_every, config.evaluate_every, evaluation is not None)
        self.hashes = hashes or {}
        self.trained: TrainedModule | None = None
        self._reward: RemoteReward | None = None
        # number of completed steps
        self._completed = 0
        self._stop_reason: str | None = None

    def close(self) -> None:
        """Closes the reward."""
        if self._reward is not None:
            self._reward.close()

    def build(self) -> None:
        """Loads the policy and adds LoRA."""
        config, adapter = self.config, self.config.adapter
        self._policy = self._load_policy(self._accelerator.device)
        self._reward_fps: Fps = self._policy.fps if self._fps is None else self._fps
        network = self._policy.network
        add_lora(network, self._policy.lora_targets, adapter.rank, adapter.alpha, config.seed)
        if adapter.init is not None:
            load_peft(network, Path(adapter.init))
        if config.gradient_checkpointing:
            enable_gradient_checkpointing(network)
        # dropout would make the ratio differ from 1
        network.eval()

    def prepare(self, fresh: bool) -> list[str]:
        """Moves everything to its device, and opens the reward."""
        config, accelerator = self.config, self._accelerator
        network = self._policy.network.to(accelerator.device)
        prepared, self._optimizer = accelerator.prepare(network, build_optimizer(network, config.optimizer))
        self._sampling_network = network_to_sample(accelerator, prepared)
        trained = {n: p for n, p in accelerator.unwrap_model(prepared).named_parameters() if p.requires_grad}
        self._average = WeightAverage(trained)
        self._objective = build_objective(config, self._policy, prepared, self._sampling_network, trained)
        self._sampler = self._objective.sampler
        self.trained = TrainedModule(
            prepared,
            (self._optimizer,),
            accelerator,
            extras={AVERAGED: self._average.tensors, **self._objective.extras},
        )
        self._updater = Updater(self._objective, self.trained, accelerator, config.optimizer.grad_clip)
        self._reward = self._open_reward()
        total, learned = (sum(map(torch.numel, part)) / 1e6 for part in (network.parameters(), trained.values()))
        return [
            *config.profile_differences(),
            f"{learned:.2f} of {total:.2f} million parameters are trained; "
            f"rollouts of {config.groups_per_rollout} groups of {config.group_size} on {self.processes.count} "
            f"process(es), {self.processes.device}, {config.precision}",
        ]

    def batches(self, first: int) -> Generator[tuple[int, list[tuple[str, Prompt]]], None, None]:
        """(number, groups of this process: key and prompt)."""
        self._completed = first
        for number in range(first, self.config.steps):
            if self._stop_reason is not None:
                log.warning("the run ends after %d steps: %s", number, self._stop_reason)
                return
            groups = prompts_of_rollout(self._prompts, self.config.groups_per_rollout, number, self.config.seed)
            yield number, groups[self.processes.index :: self.processes.count]

    def step(self, number: int, batch: list[tuple[str, Prompt]]) -> dict[str, float]:
        """One rollout and its updates."""
        set_rates(self._optimizer, number, self.config.steps, self.config.optimizer)
        rollouts, clips = self._sample(number, batch)
        local, rewards = self._score(rollouts, clips)
        advantages = advantages_of(rewards, self._rewards.weights, self.config.advantages)
        of_process = range(self.processes.index, len(advantages.used_PG), self.processes.count)
        results = self._optimise(
            number,
            [
                GroupAdvantages(rollout, advantages.advantages_PG[p], advantages.used_PG[p])
                for rollout, p in zip(rollouts, of_process, strict=True)
            ],
        )
        self._completed = number + 1
        values = {
            **journal_values(results, self.config.loss),
            **rewards.journal(),
            "used": float(advantages.used_PG.sum()),
            "flat_groups": float(advantages.flat),
            "small_groups": float(advantages.too_small),
            "clamped_advantages": float(advantages.clipped),
            "scoring_s": local.scoring_s,
            "waited_s": local.waited_s,
            "rate": float(self._optimizer.param_groups[0]["lr"]),
        }
        reasons = [reason for guard in self._guards if (reason := guard.check(number, values))]
        self._stop_reason = "; ".join(reasons) or None
        return values

    @property
    def _rewards(self) -> RemoteReward:
        assert self._reward is not None
        return self._reward

    def _sample(
        self, number: int, batch: list[tuple[str, Prompt]]
    ) -> tuple[list[GroupRollout], list[list[np.ndarray]]]:
        """The groups and their clips; each is sent to the reward while the next is sampled."""
        config, noise = self.config, Noise(self.config.seed, number)
        steps = trained_steps(config.sampling.window, config.sampling.num_steps, config.seed, number)
        window, rollouts, clips, finite = self._objective.window(steps), [], [], True
        with self._objective.sampling_weights():
            for key, prompt in batch:
                rollout = self._sampler.sample(self._sampling_network, prompt, key, config.group_size, noise, window)
                rollouts.append(rollout)
                if not torch.isfinite(rollout.final).all():
                    finite = False
                    continue
                clips.append(self._sampler.decode(rollout))
                self._rewards.submit(RolloutGroup(key, prompt.references, clips[-1], self._reward_fps, prompt.text))
        if self.processes.any_of(not finite)[0]:
            # clips of such latents would all look alike, and drop out as groups of equal rewards
            raise NotFinite("value of a sampled latent", math.nan, "as the weights have grown too large", ADVICE)
        return rollouts, clips

    def _score(
        self, rollouts: Sequence[GroupRollout], clips: Sequence[list[np.ndarray]]
    ) -> tuple[StepRewards, RolloutRewards]:
        """Rewards of this process and of all; StepFailed in all processes where there is none."""
        problem = None
        try:
            step = self._rewards.collect()
        except NoRewards as error:
            step, problem = error.step, str(error)
        guard_values = []
        for p, (rollout, of_group) in enumerate(zip(rollouts, clips, strict=True)):
            components = {name: part[p] for name, part in step.components.items()}
            details = step.details_of(rollout.key)
            group = ScoredGroup(rollout.prompt, of_group, self._reward_fps, step.rewards_PG[p], components, details)
            guard_values.append({name: x for guard in self._guards for name, x in guard.measure(group).items()})
        rewards = gathered(step, guard_values, self.processes.index, self.processes.count)
        if not rewards.valid_PG.any():
            raise StepFailed(problem)
        return step, rewards

    def _optimise(self, number: int, groups: Sequence[GroupAdvantages]) -> list[UpdateResult]:
        """Optimizer steps, each followed by one of the average."""
        config = self.config
        steps = self._objective.trained_in(groups[0].rollout)
        batches = optimizer_batches(groups, steps, config, number, self._accelerator)
        results = []
        for index, result in enumerate(self._updater.updates(batches), number * len(batches)):
            if result is not None:
                results.append(result)
                self._average.update(decay_of(index, config.ema.decay))
                self._objective.after(index)
        return results

    def measure(self) -> Measurement | None:
        """Evaluates with the trained and the averaged weights."""
        if self._evaluation is None:
            return None
        values = dict(self._measured("trained"))
        summary = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if isinstance(value, float))
        if self._completed:
            with self._average.applied():
                values |= {f"{AVERAGED}_{name}": value for name, value in self._measured(AVERAGED).items()}
        return Measurement(values, summary=summary)

    def _measured(self, weights: Weights) -> dict[str, object]:
        config = self.config
        sample = partial(
            sample_clips,
            self._policy,
            self._sampling_network,
            noise=Noise(config.seed, EVALUATION),
            sampling=config.sampling,
            evaluation=config.evaluation_sampling,
        )
        assert self._evaluation is not None
        return dict(self._evaluation.measure(self._completed, weights, sample))

    def save_model(self, folder: Path) -> None:
        """Writes the adapter: averaged to `folder`, as last trained to `folder`/trained."""
        with tempfile.TemporaryDirectory() as unused:
            network = self._accelerator.unwrap_model(self.trained.module if self.trained else self._policy.network)
            partial_folder = folder.with_name(f".{folder.name}.writing")
            if self.processes.is_main:
                shutil.rmtree(partial_folder, ignore_errors=True)
            # shards are gathered by all processes, and one of them writes
            target = partial_folder if self.processes.is_main else Path(unused)
            if self.processes.is_main or self._accelerator.distributed_type in SHARDED:
                with self._average.applied():
                    self._policy.save_adapter(network, target)
                self._policy.save_adapter(network, target / "trained")
            if self.processes.is_main:
                partial_folder.rename(folder)
