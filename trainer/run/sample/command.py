"""The work of `identity-reward grpo sample`: cheap checks first, then the videos, then their rewards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from reward_model.training.errors import TrainingError
from trainer.config import GrpoConfig, read_grpo_config
from trainer.policies.adapter_check import check_adapter
from trainer.prompts import Prompt, read_prompts
from trainer.prompts.references import unreadable_references
from trainer.rewards.service import check_service

from ..policy import policy_sizes
from .pairs import SamplePlan, check_folder, missing, sample_pairs
from .scores import PairScores, draw_sheet, score_pairs, write_comparison


def run_sample(
    config_name: str,
    settings: Sequence[str],
    adapter: Path,
    prompts: Path | None,
    videos: int,
    out: Path,
    url: str | None,
    resume: bool,
    token: str | None,
) -> tuple[SamplePlan, PairScores | None]:
    """Arguments as of the command. The scores are None without a URL.

    Raises TrainingError, PolicyError and OSError before the policy is loaded for what can be known by then.
    """
    config = read_grpo_config(config_name, [*settings, *([] if url is None else [f"rewards.url={url}"])])
    rows = _read(prompts, config)
    sizes = policy_sizes(config, rows)
    check_adapter(adapter, config.adapter.rank, config.adapter.alpha, None if sizes is None else sizes.adapted_layers)
    plan = SamplePlan(config, adapter, rows, videos, out)
    check_folder(plan, resume)
    models = {} if url is None else check_service(config.rewards, rows, token)
    if indices := missing(plan):
        for done, _ in enumerate(sample_pairs(plan, indices), 1):
            print(f"{done} of {len(indices)} prompts sampled", file=sys.stderr)
    scores = None if url is None else score_pairs(plan, models, token)
    if scores is not None:
        write_comparison(plan, models, scores)
    draw_sheet(plan, scores)
    return plan, scores


def _read(path: Path | None, config: GrpoConfig) -> tuple[Prompt, ...]:
    if path is None and config.data.evaluation_prompts is None:
        raise TrainingError("give --prompts: the configuration has no data.evaluation_prompts")
    prompts = read_prompts(path or str(config.data.evaluation_prompts))
    if problems := unreadable_references(prompts):
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise TrainingError(f"{problems[0]}{more}")
    return prompts
