"""Worker processes that ignore Ctrl-C, end with their parent, and take tasks lazily."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing.process import BaseProcess
from typing import Any

Task = tuple[Any, ...]


def results_of(
    work: Callable[..., Any],
    tasks: Iterable[Task],
    workers: int,
    start: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Generator[tuple[Task, Any], None, None]:
    """Yields (task, `work(*task)`) as tasks complete, in any order. Each process first calls `start(*arguments)`.

    When it is closed, or left by an exception such as KeyboardInterrupt, running tasks complete and the processes end.
    BrokenProcessPool if a process died.
    """
    pool = open_pool(workers, start, arguments)
    pending = iter(tasks)
    running: dict[Future[Any], Task] = {}
    try:
        while True:
            # processes are started here: they inherit that interrupts are ignored
            with interrupts_ignored():
                for task in islice(pending, 2 * workers - len(running)):
                    running[pool.submit(work, *task)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def open_pool(
    workers: int, start: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool whose processes end with this one and first call `start(*arguments)`.

    Processes are started as tasks are submitted; submit within `interrupts_ignored`, so that they ignore Ctrl-C.
    """
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_process, initargs=(start, arguments)
    )


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes that are started within ignore Ctrl-C.

    No effect outside the main thread, which alone may change signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_process(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    if start is not None:
        start(*arguments)


def _exit_with(parent: BaseProcess) -> None:
    """Ends this process when its parent ends, even if the parent was killed."""
    parent.join()
    os._exit(1)
