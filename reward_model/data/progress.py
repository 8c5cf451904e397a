"""How far a long run is: a bar with its remaining time on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 20.0


@contextmanager
def progress(what: str, total: int, done: int = 0, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with how many more are done; `done` of `total` were before. Writes to stderr."""
    console = console or Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("ETA"), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(what, total=total, completed=done)
            yield lambda count: bar.advance(task, count)
        return
    start = last = time.monotonic()
    first = done

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= LINE_EVERY_S or done == total:
            last = now
            left = (now - start) / max(done - first, 1) * (total - done)
            console.print(f"{what}: {done}/{total}, {now - start:.0f} s, {left:.0f} s left", highlight=False)

    yield advance
