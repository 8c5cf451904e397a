"""Tasks of one token per video."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from reward_model.types import Price, ReferenceSet
from service.scheduling.call import Call
from service.scheduling.group_task import GroupTask, OnResult
from service.scheduling.item_result import PreparedItem, SampledVideo
from service.scheduling.scheduler import Scheduler
from tests.support.waiting import wait_until

LIMIT_S = 60.0


def group_task(
    *items: Any,
    shared: int = 0,
    load_references: Callable[[], ReferenceSet] = lambda: ReferenceSet(()),
    prepare: Callable[[int], Any] | None = None,
    on_result: OnResult | None = None,
    **call: Any,
) -> GroupTask:
    """A task whose videos are `items`, inputs of the model; an exception among them is raised by its preparation."""

    def prepare_item(references: ReferenceSet, index: int) -> PreparedItem:
        inputs = items[index] if prepare is None else prepare(index)
        if isinstance(inputs, BaseException):
            raise inputs
        return PreparedItem(inputs, SampledVideo(8.0, 6, (0, 2, 3, 5)))

    task = GroupTask(Call(**call), [Price(shared, 1)] * len(items), load_references, prepare_item)
    if on_result is not None:
        task.on_result = on_result
    return task


def occupy(scorer: Any, scheduler: Scheduler) -> GroupTask:
    """Make the model wait in a batch of one video, so that later tasks queue up until `scorer.open` is set."""
    scorer.open.clear()
    task = group_task(0.0)
    scheduler.submit(task)
    wait_until(lambda: scheduler.num_tasks == 0)
    return task


def flush(scheduler: Scheduler, num_threads: int = 2) -> None:
    """Wait until the preparation threads have done all that was submitted so far."""
    for _ in range(num_threads):
        scheduler._pool.submit(lambda: None).result(LIMIT_S)


class FakeClock:
    """Replaces the `time` of the modules it is installed in."""

    def __init__(self, monkeypatch: Any, *modules: str):
        self.now = time.monotonic()
        for module in modules:
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: self.now))
