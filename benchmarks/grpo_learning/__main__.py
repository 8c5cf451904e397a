"""Does GRPO teach a policy to mix people up less? `python -m benchmarks.grpo_learning --json OUT.json`

The policy of `examples.people_policy` is trained by `identity-reward grpo` against a service process with the default
model. Before and after, it generates two videos of each of 32 held-out casts from fixed noise. The service scores them,
by the trained model and by two that are only watched, and ground truth says who is in them. Rows are those of table 4
of Identity-GRPO (arXiv 2510.14256): 4 or 16 groups in a rollout, different or the same initial noise in a group, with
the budget of videos of the first rows and, below, with their number of rollouts.

A row is the share of videos that show the right people throughout: ours after training, the peer before. The spread is
a 95 % interval of the difference, over resamples of whole casts. `measured` has before, after, difference with its
interval, and win probability of each reward and ground truth.

Gate: every video has a reward of every model.

Runs are kept in `runs/grpo_learning` and go on where they stopped; `--rows` chooses some. `--steps 4 --seeds 1` is a
trial.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.people_policy.make_prompts import PROMPTS, write_prompts
from trainer.config import read_grpo_config
from trainer.run.reports.comparison import RewardComparison, compare_rewards

from ..support import harness
from ..support.service_process import service
from .evaluation import MODELS, VIDEOS, Judged, judged
from .figures import draw_curves
from .settings import Setting, settings
from .training import run

RUNS = harness.ROOT / "runs/grpo_learning"
TRAIN_CASTS, HELD_OUT_CASTS = 256, 32
TRAIN_SEED, HELD_OUT_SEED = 1, 2
STEPS, SEEDS = 20, 3


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    folders = {"train": RUNS / "train", "held-out": RUNS / "held-out"}
    for name, casts, seed in (("train", TRAIN_CASTS, TRAIN_SEED), ("held-out", HELD_OUT_CASTS, HELD_OUT_SEED)):
        if not (folders[name] / PROMPTS).is_file():
            write_prompts(folders[name], casts, seed)
    config = read_grpo_config("people")
    rows = []
    with service(*(word for name in MODELS for word in ("--model", name))) as served:
        before = _judged(RUNS / "before.json", config, folders["held-out"], served.url, None)
        for setting in _chosen(arguments):
            after = []
            for seed in range(arguments.seeds):
                folder = RUNS / f"{setting.slug}-seed{seed}"
                files = (folders[name] / PROMPTS for name in folders)
                adapter = run(folder, setting, seed, *files, served.url)
                after.append(_judged(folder / "after.json", config, folders["held-out"], served.url, adapter))
            rows.append(_row(setting, before, after))
            print(harness.table(rows), flush=True)
    if arguments.curves:
        draw_curves(arguments.curves, RUNS, _chosen(arguments), arguments.seeds)
    return rows


def _chosen(arguments: argparse.Namespace) -> list[Setting]:
    return [setting for setting in settings(arguments.steps) if not arguments.rows or setting.slug in arguments.rows]


def _judged(path: Path, *arguments) -> Judged:
    if not path.is_file():
        judged(*arguments).save(path)
    return Judged.load(path)


def _row(setting: Setting, before: Judged, after: Sequence[Judged]) -> harness.Row:
    earlier, later = before.values(), [result.values() for result in after]
    missing = sum(int(np.isnan(values[name]).sum()) for values in (earlier, *later) for name in MODELS)
    harness.gate(not missing, f"{missing} rewards are missing")
    prompts = before.prompts * len(after)
    compared: dict[str, RewardComparison] = {}
    for name in earlier:
        comparison = compare_rewards(
            np.tile(earlier[name], len(after)), np.concatenate([values[name] for values in later]), prompts
        )
        assert comparison is not None
        compared[name] = comparison
    right = compared["right"]
    return harness.Row(
        setting.name, "", "before training", round(right.after, 4), round(right.before, 4),
        round(right.after / right.before, 3), spread=(round(right.low, 3), round(right.high, 3)),
        more={
            "budget": setting.budget,
            "paper_reward": setting.paper,
            "videos": setting.videos,
            "measured": {name: _values(comparison, name in MODELS) for name, comparison in compared.items()},
            "seeds": {name: [round(float((values[name] - earlier[name]).mean()), 4) for values in later]
                      for name in earlier},
        },
    )  # fmt: skip


def _values(comparison: RewardComparison, is_reward: bool) -> dict[str, float]:
    names = ("before", "after", "difference", "low", "high", *(("win_probability", "win_share") if is_reward else ()))
    return {name: round(getattr(comparison, name), 4) for name in names}


NOTE = (
    f"Share of videos that show the right people throughout, by ground truth: {VIDEOS} videos of each of "
    f"{HELD_OUT_CASTS} held-out casts, before and after training, the mean of all seeds. The spread is a 95 % interval "
    "of the difference over casts. The policy generates scenes for a renderer, not pixels."
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=STEPS, help="rollouts of the first rows")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each row")
    parser.add_argument("--rows", nargs="*", metavar="SLUG", help=" ".join(row.slug for row in settings(STEPS)))
    parser.add_argument("--curves", type=Path, metavar="PNG", help="plot of rewards over rollouts")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file to write the results to")
    chosen = parser.parse_args()
    results = measure(chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(harness.report("grpo_learning", results, NOTE), indent=1) + "\n")
