"""What a run tells while it goes on: a bar or lines at the terminal, `metrics.jsonl`, TensorBoard; a PNG at the end."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .state import write_whole

METRICS = "metrics.jsonl"
# shares that a run measures on dev, of rewards and of heads
MEASURED = ("accuracy_without_ties", "accuracy_with_ties", "matched", "same_or_other_auc")
# between two lines where there is no terminal
LINE_EVERY_S = 10.0


class Journal:
    """Of the main process; the others have `active` False and write nothing."""

    def __init__(self, folder: Path, first: int, num_steps: int, active: bool = True):
        """Lines of steps from `first` on are dropped: a run that was killed comes to them again."""
        self.active, self.folder, self.num_steps = active, folder, num_steps
        self._console = Console(stderr=True)
        self._told = -LINE_EVERY_S
        columns = (
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Bar(*columns, console=self._console, disable=not (active and self._console.is_terminal))
        if not active:
            return
        kept = [line for line in read_metrics(folder) if line["step"] < first]
        write_whole(folder / METRICS, "".join(json.dumps(line) + "\n" for line in kept))
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first)
        self._task = self._bar.add_task("", total=num_steps, completed=first, said="")
        self._start, self._first = monotonic(), first
        self._bar.start()

    def say(self, text: str) -> None:
        if self.active:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def record(self, step: int, **values: Any) -> None:
        """One line of metrics; numbers also as scalars of TensorBoard, nested ones under their section."""
        if not self.active:
            return
        with (self.folder / METRICS).open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for key, value in values.items():
            parts = {f"{key}/{name}": one for name, one in value.items()} if isinstance(value, dict) else {key: value}
            for name, one in parts.items():
                if isinstance(one, int | float):
                    self._board.add_scalar(name, one, step)

    def step(self, step: int, **values: float) -> None:
        """After a step, with its numbers."""
        if not self.active:
            return
        self.record(step, **values)
        said = f"loss {values['loss']:.4f}"
        self._bar.update(self._task, completed=step + 1, said=said)
        now = monotonic()
        if not self._console.is_terminal and (now - self._told >= LINE_EVERY_S or step + 1 == self.num_steps):
            self._told = now
            left = (now - self._start) / (step + 1 - self._first) * (self.num_steps - step - 1)
            self.say(f"step {step + 1} of {self.num_steps}, {said}, {left / 60:.1f} minutes left")

    def close(self) -> None:
        if self.active:
            self._bar.stop()
            self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Whole lines; the last one may have been cut by a kill."""
    path = folder / METRICS
    lines = path.read_text().splitlines() if path.is_file() else []
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return whole


def draw_curves(folder: Path) -> Path:
    """`curves.png`: the loss of every step and its running mean, and what was measured on dev; a line for each member
    where several are trained one after another."""
    import numpy as np
    from matplotlib.figure import Figure

    lines = read_metrics(folder)
    member_of = {line["step"]: line.get("member", 0) for line in lines if "dev" in line}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for member in sorted({*member_of.values()} or {0}):
        own = [line for line in lines if member_of.get(line["step"], member) == member]
        new = member == min(member_of.values(), default=0)
        steps = [line for line in own if "loss" in line]
        x, y = np.array([line["step"] for line in steps]), np.array([line["loss"] for line in steps])
        left.plot(x, y, color="0.8", linewidth=0.8, label="batch" if new else None)
        window = max(1, len(y) // 20)
        means = np.convolve(y, np.ones(window) / window, "valid")
        left.plot(x[window - 1 :], means, color="C0", label=f"mean of {window} steps" if new else None)
        for number, key in enumerate(MEASURED):
            # a line lacks what couldn't be told then
            told = [(line["step"], line["dev"][key]) for line in own if line.get("dev", {}).get(key) is not None]
            if told:
                label = f"dev {key.replace('_', ' ')}" if new else None
                right.plot(*zip(*told, strict=True), marker=".", color=f"C{number}", label=label)
    left.set(xlabel="step", ylabel="loss")
    right.set(xlabel="step", ylim=(0, 1))
    for axis in (left, right):
        if axis.lines:
            axis.legend(fontsize=8)
        axis.grid(alpha=0.2)
    figure.savefig(folder / "curves.png", dpi=130)
    return folder / "curves.png"
