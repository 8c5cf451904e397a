"""Plots of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reward_model.training.loop.journal import read_metrics

from .settings import Setting

# updates of a running mean
_WINDOW = 5


def draw_curves(path: Path, runs: Path, settings: Sequence[Setting], seeds: int) -> None:
    """Writes a PNG: the mean reward of each update's videos, over updates and over videos; thin lines are seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_update, by_video = figure.subplots(1, 2, sharey=True)
    for number, setting in enumerate(settings):
        curves = [
            [line["reward"] for line in read_metrics(runs / f"{setting.slug}-seed{seed}") if "reward" in line]
            for seed in range(seeds)
        ]
        length = min(map(len, curves))
        smooth = [np.convolve(curve[:length], np.ones(_WINDOW) / _WINDOW, "valid") for curve in curves]
        x = np.arange(len(smooth[0])) + _WINDOW // 2 + 1
        for axis, factor in ((by_update, 1), (by_video, setting.groups)):
            for curve in smooth:
                axis.plot(factor * x, curve, color=f"C{number}", linewidth=0.6, alpha=0.5)
            axis.plot(factor * x, np.mean(smooth, 0), color=f"C{number}", label=setting.name)
    by_update.set(xlabel="updates", ylabel=f"reward in training, mean of {_WINDOW} updates")
    by_video.set(xlabel="groups of videos")
    for axis in (by_update, by_video):
        axis.grid(alpha=0.25)
    by_video.legend(fontsize=7)
    figure.savefig(path, dpi=130)
