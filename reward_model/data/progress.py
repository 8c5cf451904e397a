"""Progress of a long run: a bar with the remaining time on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Protocol

from rich import progress as bars
from rich.console import Console

LINE_EVERY_S = 20.0
# `progress` or `unseen`: called with the name of the steps and their total number
Progress = Callable[[str, int], AbstractContextManager["Steps"]]


class Steps(Protocol):
    def begin(self, done: int) -> None:
        """`done` steps are complete from an earlier run; estimates of the remaining time ignore them."""

    def advance(self, count: int = 1) -> None: ...


@contextmanager
def progress(name: str, total: int) -> Iterator[Steps]:
    """Reports to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineSteps(name, total, console)
        return
    columns = (
        bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeElapsedColumn(),
        bars.TextColumn("ETA"), bars.TimeRemainingColumn(),
    )  # fmt: skip
    with bars.Progress(*columns, console=console) as bar:
        yield _BarSteps(bar, bar.add_task(name, total=total))


@contextmanager
def unseen(name: str, total: int) -> Iterator[Steps]:
    """Reports nothing."""
    yield _SilentSteps()


class _SilentSteps:
    def begin(self, done: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


class _BarSteps:
    def __init__(self, bar: bars.Progress, task: bars.TaskID):
        self._bar, self._task = bar, task

    def begin(self, done: int) -> None:
        self._bar.reset(self._task, completed=done)

    def advance(self, count: int = 1) -> None:
        self._bar.advance(self._task, count)


class _LineSteps:
    def __init__(self, name: str, total: int, console: Console):
        self._name, self._total, self._console = name, total, console
        self._lock = Lock()
        self.begin(0)

    def begin(self, done: int) -> None:
        self._first = self._done = done
        self._start = self._last_line = time.monotonic()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._last_line < LINE_EVERY_S and self._done < self._total:
                return
            self._last_line = now
            elapsed_s = now - self._start
            remaining_s = elapsed_s / max(self._done - self._first, 1) * (self._total - self._done)
            line = f"{self._name}: {self._done}/{self._total}, {elapsed_s:.0f} s, {remaining_s:.0f} s left"
            self._console.print(line, highlight=False)
