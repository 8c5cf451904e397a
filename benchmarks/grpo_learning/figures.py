"""Plots of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reward_model.training.loop.journal import read_metrics

from .settings import GROUP_SIZE, Setting


def draw_curves(path: Path, runs: Path, settings: Sequence[Setting], seeds: int) -> None:
    """Writes a PNG: how far the mean reward of the held-out prompts rose, over rollouts and videos; thin: each seed.

    A seed decides the noise of its run's measurements, so that only differences within a run can be compared.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_rollout, by_video = figure.subplots(1, 2, sharey=True)
    for number, setting in enumerate(settings):
        measured = [
            [(line["step"] + 1, line["dev"]["reward"]) for line in read_metrics(runs / f"{setting.slug}-seed{seed}")
             if "dev" in line]
            for seed in range(seeds)
        ]  # fmt: skip
        rollouts = np.array([rollout for rollout, _ in measured[0]])
        rewards = np.array([[reward for _, reward in curve] for curve in measured])
        rises = rewards - rewards[:, :1]
        for axis, factor in ((by_rollout, 1), (by_video, setting.groups * GROUP_SIZE)):
            for curve in rises:
                axis.plot(factor * rollouts, curve, color=f"C{number}", linewidth=0.6, alpha=0.5)
            axis.plot(factor * rollouts, rises.mean(0), color=f"C{number}", marker=".", label=setting.name)
    by_rollout.set(xlabel="rollouts", ylabel="rise of the reward, held-out prompts")
    by_video.set(xlabel="videos")
    for axis in (by_rollout, by_video):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
    by_video.legend(fontsize=7)
    figure.savefig(path, dpi=130)
