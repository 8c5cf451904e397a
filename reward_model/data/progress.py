"""How far a long run is: a bar with its remaining time on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Protocol

from rich import progress as bars
from rich.console import Console

LINE_EVERY_S = 20.0
# `progress` or `unseen`: called with what is done and how much there is of it
Progress = Callable[[str, int], AbstractContextManager["Steps"]]


class Steps(Protocol):
    def begin(self, done: int) -> None:
        """So many were done before; they count for nothing in the time that is left."""

    def advance(self, count: int = 1) -> None: ...


@contextmanager
def progress(what: str, total: int) -> Iterator[Steps]:
    """Writes to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what, total, console)
        return
    columns = (
        bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeElapsedColumn(),
        bars.TextColumn("ETA"), bars.TimeRemainingColumn(),
    )  # fmt: skip
    with bars.Progress(*columns, console=console) as bar:
        yield _Bar(bar, bar.add_task(what, total=total))


@contextmanager
def unseen(what: str, total: int) -> Iterator[Steps]:
    """Shows nothing."""
    yield _Nothing()


class _Nothing:
    def begin(self, done: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


class _Bar:
    def __init__(self, bar: bars.Progress, task: bars.TaskID):
        self._bar, self._task = bar, task

    def begin(self, done: int) -> None:
        self._bar.reset(self._task, completed=done)

    def advance(self, count: int = 1) -> None:
        self._bar.advance(self._task, count)


class _Lines:
    def __init__(self, what: str, total: int, console: Console):
        self._what, self._total, self._console = what, total, console
        self._lock = Lock()
        self.begin(0)

    def begin(self, done: int) -> None:
        self._first = self._done = done
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._last < LINE_EVERY_S and self._done < self._total:
                return
            self._last = now
            took = now - self._start
            left = took / max(self._done - self._first, 1) * (self._total - self._done)
            told = f"{self._what}: {self._done}/{self._total}, {took:.0f} s, {left:.0f} s left"
            self._console.print(told, highlight=False)
