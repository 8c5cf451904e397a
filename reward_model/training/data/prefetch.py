"""Loading ahead of the consumer by threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def prefetch(
    tasks: Iterable[tuple[Any, ...]], load: Callable[..., T], workers: int, ahead: int
) -> Generator[T, None, None]:
    """`load(*task)` of every task, in order, computed by `workers` threads.

    An error is raised where its result is due. At most `ahead` results are computed or waiting at a time, not counting
    the one that the consumer holds.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="prefetch") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(load, *task))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
