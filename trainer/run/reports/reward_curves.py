"""The plot of a GRPO run: rewards of training and evaluation, and the guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from reward_model.training.loop.journal import read_metrics
from trainer.types import ScoredGroup

PLOT = "rewards.png"
GUARDS = ("motion", "reference_similarity", "saturation", "clipped_pixels", "faces")
# curves of the rewards' panel: key of a journal line or of its "dev" values, and label
_STEPS, _EVALUATIONS = "reward", (("reward", "evaluation"), ("ema_reward", "evaluation, averaged weights"))


class RewardCurves:
    """Draws `rewards.png` in the run's folder every few steps, in the main process. It has the methods of a guard."""

    def __init__(self, out: Path, every: int) -> None:
        self._out, self._every = out, every

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Draws the plot where it is due, and never stops."""
        if self._every and (number + 1) % self._every == 0 and PartialState().is_main_process:
            # the journal gets the line of this step afterwards
            draw_rewards(self._out, [*read_metrics(self._out), {"step": number, **values}])


def draw_rewards(out: Path, lines: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Writes `rewards.png` from `lines`, those of `metrics.jsonl` by default, and returns its path."""
    from matplotlib.figure import Figure

    lines = read_metrics(out) if lines is None else lines
    steps = [line for line in lines if _STEPS in line]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    rewards, guards = figure.subplots(1, 2)
    _draw(rewards, steps, _STEPS, "training", color="0.7", linewidth=0.8)
    for key in sorted({key for line in steps for key in line if key.startswith("reward_") and key != "reward_std"}):
        _draw(rewards, steps, key, key.removeprefix("reward_"), linewidth=0.8, linestyle="--")
    evaluations = [{"step": line["step"], **line["dev"]} for line in lines if "dev" in line]
    for key, label in _EVALUATIONS:
        _draw(rewards, evaluations, key, label, marker=".")
    for key in GUARDS:
        _draw(guards, steps, key, key.replace("_", " "))
    rewards.set(xlabel="step", ylabel="reward")
    guards.set(xlabel="step", ylabel="guards")
    for axis in (rewards, guards):
        if axis.lines:
            axis.legend(fontsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.2)
    figure.savefig(out / PLOT, dpi=130)
    return out / PLOT


def _draw(axis: Any, lines: Sequence[Mapping[str, Any]], key: str, label: str, **style: Any) -> None:
    """The values of a key over steps; nothing where no line has one."""
    points = [(line["step"] + 1, line[key]) for line in lines if line.get(key) is not None]
    if points:
        axis.plot(*zip(*points, strict=True), label=label, **style)
