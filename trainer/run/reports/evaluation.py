"""Evaluation of a policy on fixed prompts from fixed noise, compared with the first evaluation of the run.

Every evaluation writes `evaluations/step-00000010.trained.json` (or `.ema.json`): the rewards of every video. N videos.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from safetensors.numpy import load_file, save_file

from identity_reward_client.fields.fps import Fps
from reward_model.training.loop.state import write_atomically
from trainer.configs.measurement import EvaluationConfig
from trainer.prompts import Prompt
from trainer.rewards import NoRewards, RemoteReward
from trainer.types import Float64, RolloutGroup, StepRewards

from ..hooks import SampleClips, Weights
from .comparison import RewardComparison, compare_rewards
from .contact_sheet import SheetRow, reward_text, sheet_frames, write_sheet
from .tracking import Trackers

log = logging.getLogger("identity_reward.trainer")
FOLDER = "evaluations"
# the weighted sum of all sources
TOTAL = "reward"
# frames of the first evaluation's clips, which later ones are drawn beside
_FIRST_CLIPS = "first_clips.safetensors"


class PromptEvaluation:
    """Samples and scores the evaluation prompts; the `Evaluation` of a run.

    The processes share the prompts. A video without a reward is missing, and counts in no mean and no comparison.

    Args:
        prompts: of people that the policy is not trained on.
        config: of the evaluation.
        open_reward: the reward of training; closed after each evaluation.
        fps: frames per second that the reward is told, known once the policy is loaded.
        out: the run's folder.
        trackers: get the contact sheets and values.
        preference_scale: of the reward model, where there is one with a weight.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        config: EvaluationConfig,
        open_reward: Callable[[], RemoteReward],
        fps: Callable[[], Fps],
        out: Path,
        trackers: Trackers,
        preference_scale: float = 1.0,
    ) -> None:
        self._prompts, self._config, self._open_reward, self._fps = tuple(prompts), config, open_reward, fps
        self._folder, self._trackers, self._preference_scale = out / FOLDER, trackers, preference_scale
        self._first: dict[str, list[float]] | None = None

    def measure(self, number: int, weights: Weights, sample: SampleClips) -> Mapping[str, Any]:
        """Means of the rewards, and comparisons with the first evaluation where this is a later one."""
        rewards, clips = self._score(sample)
        name = f"step-{number:08d}.{weights}"
        first = self._first_rewards()
        comparisons = {} if first is None else self._compare(first, rewards)
        if PartialState().is_main_process:
            self._write(name, number, weights, rewards, comparisons)
            if self._config.sheet_prompts:
                self._draw(name, number, clips, rewards[TOTAL], None if first is None else first[TOTAL])
        if first is None:
            self._first = {source: values.tolist() for source, values in rewards.items()}
        values = _values(rewards, comparisons)
        self._trackers.log(max(number - 1, 0), {f"evaluation/{weights}/{key}": value for key, value in values.items()})
        return values

    def _score(self, sample: SampleClips) -> tuple[dict[str, Float64], dict[str, list[np.ndarray]]]:
        """(rewards [N] by source, in the order of the prompts; clips of the prompts on this process's sheet)."""
        state = PartialState()
        mine = self._prompts[state.process_index :: state.num_processes]
        sheet, videos = self._prompts[: self._config.sheet_prompts], self._config.videos
        clips = {}
        with self._open_reward() as reward:
            for prompt in mine:
                sampled = sample(prompt, videos)
                reward.submit(RolloutGroup(prompt.key, prompt.references, sampled, fps=self._fps(), prompt=prompt.text))
                if prompt in sheet:
                    clips[prompt.key] = sampled
            if len(mine) < -(-len(self._prompts) // state.num_processes):
                # sharded weights are gathered in every forward pass, in which all processes take part
                sample(self._prompts[0], videos)
            rows = _rows(reward) if mine else {}
        gathered: list[Any] = gather_object([rows]) if state.num_processes > 1 else [rows]
        by_key = {key: row for part in gathered for key, row in part.items()}
        rewards = {
            source: np.array([value for prompt in self._prompts for value in by_key[prompt.key][source]], np.float64)
            for source in next(iter(by_key.values()))
        }
        return rewards, clips

    def _first_rewards(self) -> dict[str, list[float]] | None:
        """Of the first evaluation, from its file where the run was resumed."""
        if self._first is None:
            state = PartialState()
            found = [self._read_first() if state.is_main_process else None]
            if state.num_processes > 1:
                broadcast_object_list(found)
            self._first = found[0]
        return self._first

    def _read_first(self) -> dict[str, list[float]] | None:
        path = self._folder / "step-00000000.trained.json"
        if not path.is_file():
            return None
        saved = json.loads(path.read_text())
        if saved["prompts"] != [prompt.key for prompt in self._prompts] or saved["videos"] != self._config.videos:
            log.warning("%s is of other prompts: nothing is compared with it", path)
            return None
        return {name: [np.nan if value is None else value for value in values]
                for name, values in saved["rewards"].items()}  # fmt: skip

    def _compare(
        self, first: Mapping[str, Sequence[float]], rewards: Mapping[str, Float64]
    ) -> dict[str, RewardComparison]:
        prompts_N = [prompt.key for prompt in self._prompts for _ in range(self._config.videos)]
        compared = {
            name: compare_rewards(first[name], rewards[name], prompts_N, preference_scale=self._preference_scale)
            for name in rewards
            if name in first
        }
        return {name: comparison for name, comparison in compared.items() if comparison is not None}

    def _write(
        self,
        name: str,
        number: int,
        weights: Weights,
        rewards: Mapping[str, Float64],
        comparisons: Mapping[str, RewardComparison],
    ) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {
            "step": number,
            "weights": weights,
            "prompts": [prompt.key for prompt in self._prompts],
            "videos": self._config.videos,
            "rewards": {source: [None if np.isnan(v) else v for v in values.tolist()]
                        for source, values in rewards.items()},
            "against_first": {source: asdict(comparison) for source, comparison in comparisons.items()},
        }  # fmt: skip
        write_atomically(self._folder / f"{name}.json", json.dumps(content, indent=1) + "\n")

    def _draw(
        self,
        name: str,
        number: int,
        clips: Mapping[str, list[np.ndarray]],
        reward_N: Sequence[float] | Float64,
        first_reward_N: Sequence[float] | None,
    ) -> None:
        """The clips of this process's prompts; those of the first evaluation beside them."""
        first = self._first_clips(clips)
        rows = []
        for position, prompt in enumerate(self._prompts):
            if prompt.key not in clips:
                continue
            video = position * self._config.videos
            pair, captions = [clips[prompt.key][0]], [f"after {number} steps: {reward_text(reward_N[video])}"]
            if first_reward_N is not None and prompt.key in first:
                pair = [first[prompt.key], *pair]
                captions = [f"before: {reward_text(first_reward_N[video])}", *captions]
            rows.append(SheetRow(f"{prompt.key}: {prompt.text}", prompt.references, pair, captions))
        if rows:
            self._trackers.log_image(
                max(number - 1, 0), f"evaluation/{name[14:]}", write_sheet(self._folder / f"{name}.png", rows)
            )

    def _first_clips(self, clips: Mapping[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
        path = self._folder / _FIRST_CLIPS
        if not path.is_file():
            save_file({key: sheet_frames(sampled[0]) for key, sampled in clips.items()}, path)
        return load_file(path)


def _rows(reward: RemoteReward) -> dict[str, dict[str, list[float]]]:
    """By prompt and source: the rewards of its videos, NaN for missing ones."""
    try:
        step: StepRewards = reward.collect()
    except NoRewards as error:
        step = error.step
    for error_code, count in step.error_counts.most_common():
        log.warning("evaluation: %d rewards are missing with %s", count, error_code)
    sources = {TOTAL: step.rewards_PG, **step.components}
    return {
        key: {source: values[p].tolist() for source, values in sources.items()} for p, key in enumerate(step.keys_P)
    }


def _values(rewards: Mapping[str, Float64], comparisons: Mapping[str, RewardComparison]) -> dict[str, Any]:
    """For the journal. The mean of a source is named as the source; the sum alone where there is one source."""
    values: dict[str, Any] = {"missing": int(np.isnan(rewards[TOTAL]).sum())}
    sources = rewards if len(rewards) > 2 else {TOTAL: rewards[TOTAL]}
    for source, values_N in sources.items():
        if not np.isnan(values_N).all():
            values[source] = float(np.nanmean(values_N))
        if comparison := comparisons.get(source):
            prefix = "" if source == TOTAL else f"{source}_"
            values |= {
                f"{prefix}difference": comparison.difference,
                f"{prefix}low": comparison.low,
                f"{prefix}high": comparison.high,
                f"{prefix}win_probability": comparison.win_probability,
                f"{prefix}win_share": comparison.win_share,
            }
    return values
