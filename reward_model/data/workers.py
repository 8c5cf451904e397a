"""Work spread over processes that don't hear Ctrl-C, end with their parent, and get no more than they can begin."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any


def results_of(
    work: Callable[..., Any],
    tasks: Iterable[tuple],
    workers: int,
    start: Callable[..., None] | None = None,
    arguments: tuple = (),
) -> Generator[tuple[tuple, Any], None, None]:
    """(task, `work(*task)`) of each as it is done, in no order. `start(*arguments)` is called first in each process.

    Closed, or left by an error such as KeyboardInterrupt, it ends its processes after what they are at.
    BrokenProcessPool when one of them died.
    """
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(start, arguments)
    )
    waiting = iter(tasks)
    running: dict[Future, tuple] = {}
    try:
        while True:
            with _deaf():
                for task in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(work, *task)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started here don't hear Ctrl-C: this one does, and ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(start: Callable[..., None] | None, arguments: tuple) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if start is not None:
        start(*arguments)


def _end_with(parent: Any) -> None:
    """A parent that was killed leaves no workers behind."""
    parent.join()
    os._exit(1)
