"""Progress of a run: a bar or lines at the terminal, `metrics.jsonl`, and TensorBoard scalars."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .state import write_atomically

METRICS = "metrics.jsonl"
# seconds between two lines of progress where there is no terminal
LINE_EVERY_S = 10.0


class Journal:
    """Journal of the main process. In other processes `active` is False and nothing is written."""

    def __init__(self, folder: Path, first: int, num_steps: int, active: bool = True):
        """Drops the lines of steps from `first` on, which a killed run had recorded after its last state."""
        self.active, self.folder, self.num_steps = active, folder, num_steps
        self._console = Console(stderr=True)
        self._last_line = -LINE_EVERY_S
        columns = (
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Bar(*columns, console=self._console, disable=not (active and self._console.is_terminal))
        if not active:
            return
        # step -1 is a measurement before the first step, and belongs to a run that took it
        valid = [line for line in read_metrics(folder) if line["step"] < first] if first else []
        write_atomically(folder / METRICS, "".join(json.dumps(line) + "\n" for line in valid))
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first)
        self._task = self._bar.add_task("", total=num_steps, completed=first, status="")
        self._start, self._first = monotonic(), first
        self._bar.start()

    def say(self, text: str) -> None:
        """Prints a line to stderr."""
        if self.active:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def record(self, step: int, **values: Any) -> None:
        """Writes one line of metrics. Numbers become TensorBoard scalars too, those of a dictionary as KEY/NAME."""
        if not self.active:
            return
        with (self.folder / METRICS).open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for key, value in values.items():
            scalars = (
                {f"{key}/{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
            )
            for name, scalar in scalars.items():
                if isinstance(scalar, int | float):
                    self._board.add_scalar(name, scalar, step)

    def step(self, step: int, **values: float) -> None:
        """Records a completed step and updates the progress at the terminal, with its loss and reward if there are."""
        if not self.active:
            return
        self.record(step, **values)
        status = ", ".join(f"{name} {values[name]:.4f}" for name in ("loss", "reward") if name in values)
        self._bar.update(self._task, completed=step + 1, status=status)
        now = monotonic()
        if not self._console.is_terminal and (now - self._last_line >= LINE_EVERY_S or step + 1 == self.num_steps):
            self._last_line = now
            remaining_s = (now - self._start) / (step + 1 - self._first) * (self.num_steps - step - 1)
            self.say(f"step {step + 1} of {self.num_steps}, {status}, {remaining_s / 60:.1f} minutes left")

    def close(self) -> None:
        if self.active:
            self._bar.stop()
            self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Complete lines of `metrics.jsonl`; a kill may have cut the last one."""
    path = folder / METRICS
    lines = path.read_text().splitlines() if path.is_file() else []
    complete = []
    for line in lines:
        try:
            complete.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return complete
