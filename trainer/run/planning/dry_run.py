"""`identity-reward grpo CONFIG --out RUN --dry-run`: the plan of a run, and its checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainer.config import GrpoConfig
from trainer.policies.sizes import PolicySizes

from .checks import RunChecks, check_run
from .memory import GB, STRATEGIES, guidance_passes, largest_micro_batch, plan_memory
from .work import FORWARD_BACKWARD, plan_work

# evaluations measure the trained and the averaged weights
_MEASURED = 2


def dry_run(config: GrpoConfig, out: Path, processes: int, gpu_gb: float, token: str | None) -> tuple[str, list[str]]:
    """(plan and passed checks as text, problems). Nothing is written, and no weights of the policy are loaded."""
    checks = check_run(config, out, processes, token)
    lines = list(_step(config, checks))
    if checks.sizes is not None:
        lines += _memory(config, checks.sizes, processes, gpu_gb)
    lines += ["checks", *(f"  ok: {line}" for line in checks.passed)]
    return "\n".join(lines), checks.problems


def _step(config: GrpoConfig, checks: RunChecks) -> Iterator[str]:
    sizes = checks.sizes
    work = plan_work(config, sizes)
    yield "a step"
    yield f"  {work.videos} videos: {work.groups} groups of {config.group_size}"
    if sizes is not None:
        yield f"  {sizes.tokens:,} tokens a video in a forward pass, {sizes.flops / 1e12:.3g} TFLOP"
    yield (
        f"  {work.sampling:,} forward passes in sampling: {config.sampling.num_steps} steps x "
        f"{work.guidance_passes} of guidance x {work.videos} videos"
    )
    yield f"  {work.trained:,} forward and backward passes: {work.trained_steps} trained steps"
    if work.references:
        yield f"  {work.references:,} forward passes of the old policy or the base model"
    if work.recomputed:
        yield f"  {work.recomputed:,} forward passes again for gradient checkpointing"
    yield f"  as long as {work.forwards:,} forward passes of one video (forward and backward: {FORWARD_BACKWARD})"
    yield f"  {work.reward_calls} calls of the reward, {work.optimizer_steps} optimizer step(s)"
    if checks.held_out:
        videos = len(checks.held_out) * config.evaluation.videos
        passes = guidance_passes(config.evaluation_sampling.guidance, sizes)
        forwards = videos * config.evaluation_sampling.num_steps * passes * _MEASURED
        yield f"an evaluation, every {config.evaluate_every} steps: {forwards:,} forward passes"


def _memory(config: GrpoConfig, sizes: PolicySizes, processes: int, gpu_gb: float) -> Iterator[str]:
    plans = {strategy: plan_memory(config, sizes, processes, strategy) for strategy in STRATEGIES}
    yield f"memory of a GPU in GB, by arithmetic, on {processes}; micro-batches of {config.micro_batch}"
    yield f"  {'':20}" + "".join(f"{strategy:>8}" for strategy in STRATEGIES)
    for part in plans[STRATEGIES[0]].parts:
        yield f"  {part:20}" + "".join(f"{plan.parts[part] / GB:8.2f}" for plan in plans.values())
    yield f"  {'at the peak':20}" + "".join(f"{plan.total / GB:8.2f}" for plan in plans.values())
    largest = [largest_micro_batch(config, sizes, processes, strategy, gpu_gb * GB) for strategy in STRATEGIES]
    yield f"  {f'micro-batch, {gpu_gb:g} GB':20}" + "".join(f"{batch or 'none':>8}" for batch in largest)
    yield f"  before the run, once: {sizes.text_encoder_bytes / GB:.1f} GB of the text encoder, for new prompts"
