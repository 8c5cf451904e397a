"""Starts a run from its configuration: what can be checked is checked before the first sample."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import get_int_from_env

from identity_reward_client.messages import ModelInfo
from reward_model.training.configs.files import flat
from reward_model.training.loop.journal import read_metrics
from reward_model.training.loop.run_folder import open_run
from reward_model.training.loop.state import folders, read_progress

from ..config import GrpoConfig
from ..policies.base import VideoPolicy
from ..prompts import Prompt, read_prompts
from ..rewards import RemoteReward
from ..rewards.early_stop import EarlyStop
from ..rewards.guards import DuplicateGuard, FaceGuard, PixelGuard
from ..rewards.service import check_service, reward_sources
from .clipped_shares import ClippedShares
from .hooks import Guard
from .policy import open_policy
from .reports.evaluation import PromptEvaluation
from .reports.reward_curves import RewardCurves, draw_rewards
from .reports.run_record import fingerprints, record_start
from .reports.tracking import Trackers
from .reports.training_sheets import TrainingSheets
from .task import train

log = logging.getLogger("identity_reward.trainer")


def start(
    config: GrpoConfig,
    out: Path,
    resume: bool = False,
    allow_changes: bool = False,
    token: str | None = None,
    reward_type: type[RemoteReward] = RemoteReward,
) -> Path:
    """Runs or resumes the training in the folder `out`, and returns the folder of the adapter.

    Raises TrainingError, before anything is computed, for prompts that cannot be read, a service that is away or lacks
    a model, references that a model or the policy cannot use, and what `loop.run.run_task` refuses.
    """
    prompts, held_out = _read(config)
    hashes = _hashes(config)
    if open_run(out, config, hashes, resume, allow_changes).finished:
        log.warning("%s is finished already", out)
    models = check_service(config.rewards, [*prompts, *held_out], token)
    _warn(config, models, out)
    trackers = Trackers(config.tracking.trackers, out, dict(flat(config.model_dump(mode="json"))))
    policies: list[VideoPolicy] = []

    def open_run_policy(device: torch.device) -> VideoPolicy:
        policies.append(open_policy(config, [*prompts, *held_out], device))
        return policies[-1]

    def open_reward() -> RemoteReward:
        return reward_type(
            reward_sources(config.rewards, token, config.guards.faces_of),
            max_in_flight=config.rewards.max_in_flight,
            step_wait_s=config.rewards.step_wait_s,
            drop_on=config.rewards.drop_on,
        )

    evaluation = PromptEvaluation(
        held_out,
        config.evaluation,
        open_reward,
        lambda: config.rewards.fps or policies[-1].fps,
        out,
        trackers,
        _preference_scale(config, models),
    )
    try:
        model = train(
            config,
            out,
            load_policy=open_run_policy,
            prompts=prompts,
            open_reward=_recorded(config, out, models, open_reward),
            hashes=hashes,
            fps=config.rewards.fps,
            guards=_guards(config, out, trackers, resume),
            evaluation=evaluation if held_out else None,
            resume=resume,
            allow_changes=allow_changes,
        )
    finally:
        trackers.close()
    if get_int_from_env(["RANK"], 0) == 0:  # accelerate's own state ended with the training
        draw_rewards(out)
    return model


def _recorded(
    config: GrpoConfig, out: Path, models: Mapping[str, ModelInfo], open_reward: Callable[[], RemoteReward]
) -> Callable[[], RemoteReward]:
    """`open_reward`, which the run calls once its folder is there: it records the start first."""

    def opened() -> RemoteReward:
        state = PartialState()
        if state.is_main_process:
            record_start(out, config.model_dump(mode="json"), models, state.num_processes, _first_step(out))
        return open_reward()

    return opened


def _read(config: GrpoConfig) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    held_out = config.data.evaluation_prompts
    return read_prompts(config.data.prompts), read_prompts(held_out) if held_out else ()


def _hashes(config: GrpoConfig) -> dict[str, str]:
    """sha256 of the files of prompts by field of `data`."""
    files = {"prompts": config.data.prompts, "evaluation_prompts": config.data.evaluation_prompts}
    return {name: sha256(Path(file).read_bytes()).hexdigest() for name, file in files.items() if file is not None}


def _warn(config: GrpoConfig, models: Mapping[str, ModelInfo], out: Path) -> None:
    for model in {model.name: model for model in models.values()}.values():
        if not model.meaningful:
            log.warning("the reward model %s has random weights: its rewards mean nothing", model.name)
    before = fingerprints(out)
    for name, model in models.items():
        if before.get(name, model.fingerprint) != model.fingerprint:
            log.warning("the model of the reward %s is another one than before: rewards of the run differ", name)


def _guards(config: GrpoConfig, out: Path, trackers: Trackers, resume: bool) -> list[Guard]:
    guards: list[Guard] = [DuplicateGuard(), ClippedShares(), PixelGuard(config.guards.measures)]
    if config.guards.faces_of is not None:
        guards.append(FaceGuard(config.guards.faces_of))
    if (rule := config.guards.early_stop) is not None:
        history = _history(out) if resume else []
        guards.append(EarlyStop(rule.watched, rule.fall, rule.window, history))
    sheets, curves = TrainingSheets(out, config.tracking, trackers), RewardCurves(out, config.tracking.draw_every)
    return [*guards, sheets, curves, trackers]


def _history(out: Path) -> list[dict[str, float]]:
    """Values of the steps before the state that a run is resumed from."""
    return [line for line in read_metrics(out) if 0 <= line["step"] < _first_step(out) and "reward" in line]


def _first_step(out: Path) -> int:
    """Completed steps of the last state."""
    states = folders(out)
    return read_progress(states[-1]).step if states else 0


def _preference_scale(config: GrpoConfig, models: Mapping[str, ModelInfo]) -> float:
    """Of the reward model; 1 where the rewards of several models are added."""
    weighted = [source.name for source in config.rewards.sources if source.weight]
    return models[weighted[0]].preference_scale if len(weighted) == 1 else 1.0
