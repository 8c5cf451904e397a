"""Scheduler of one model: forms batches of whole tasks, prepares the next ones meanwhile, scores in one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from weakref import ref

from identity_reward_client.errors import InternalError
from identity_reward_client.wire.headers import PRIORITIES
from reward_model.scorer import Scorer

from ..errors import error_location, stopping_error
from .batch_runner import BatchItem, BatchRunner, scoring_error
from .fair_queue import FairQueue
from .group_task import GroupTask
from .item_result import ItemResult
from .throughput import Throughput

log = logging.getLogger("identity_reward")
_CLOSE_S = 10.0
# a ready task is passed over by more urgent ones at most this often
_MAX_TIMES_PASSED = 8


class Scheduler:
    """Runs the scorer in a thread of its own on batches of whole tasks of at most `batch_tokens` tokens.

    Tasks wait in a fair queue. The next ones are prepared in `pool`, as many as fill two batches (less urgent ones
    don't count), so that the next batch is ready when the current one is done. Every future gets its results or an
    error.
    """

    def __init__(
        self,
        scorer: Scorer,
        pool: Executor,
        batch_tokens: int,
        throughput: Throughput | None = None,
        on_batch: Callable[[int, int], None] = lambda tokens, num_tasks: None,
        on_lost: Callable[[str], None] = lambda reason: None,
    ):
        self._runner = BatchRunner(scorer, on_lost)
        self._pool = pool
        self._batch_tokens = batch_tokens
        self._throughput = throughput or Throughput()
        self._on_batch = on_batch
        self._waiting: FairQueue[GroupTask] = FairQueue()
        # being prepared or ready, in the order of the queue
        self._window: list[GroupTask] = []
        self._measured_at = 0.0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"score-{scorer.info.name}", daemon=True)
        self._thread.start()

    def submit(self, task: GroupTask) -> Future[list[ItemResult]]:
        """Queue a task; cancelling its future removes it unless its batch is running. Raises NotReady if closed."""
        with self._changed:
            if self._closed:
                raise stopping_error()
            self._waiting.push(task, task.tokens, task.call.priority, task.call.client)
            self._advance()
        # a strong reference would make a cycle that keeps the request's bytes until a full garbage collection
        reference = ref(task)

        def on_done(future: Future[list[ItemResult]]) -> None:
            if future.cancelled() and (cancelled := reference()) is not None:
                self._cancel(cancelled)

        task.future.add_done_callback(on_done)
        return task.future

    def close(self) -> None:
        """Fail the tasks that wait, and let the running batch finish if it takes no longer than some seconds."""
        with self._changed:
            self._closed = True
            unscored = [*self._waiting.drain(), *self._window]
            self._window.clear()
            self._changed.notify_all()
        for task in unscored:
            task.fail(stopping_error())
        self._thread.join(_CLOSE_S)

    @property
    def num_tasks(self) -> int:
        """Tasks that wait, are being prepared or are ready."""
        return len(self._waiting) + len(self._window)

    def _cancel(self, task: GroupTask) -> None:
        with self._changed:
            if not self._waiting.remove(task, task.call.priority, task.call.client) and task in self._window:
                self._window.remove(task)
            self._advance()

    def _advance(self) -> None:
        """Start preparing the next tasks, as far as the window goes. Called under the lock."""
        while self._waiting:
            task = self._waiting.peek()
            # less urgent tasks don't count: theirs may be slow to decode
            ahead = [other.tokens for other in self._window if other.rank <= task.rank]
            if ahead and sum(ahead) + task.tokens > 2 * self._batch_tokens:
                return
            self._waiting.pop()
            if task.future.done() or task.expire():
                continue
            task.started_at = time.monotonic()
            self._window.append(task)
            self._pool.submit(self._prepare_task, task)

    def _prepare_task(self, task: GroupTask) -> None:
        """Load the references, then prepare every video, the first one in this thread. Runs in the pool."""
        if task.future.done():
            return
        try:
            task.references = task.load_references()
            for index in range(1, len(task.prices)):
                self._pool.submit(self._prepare_item, task, index)
        except BaseException as error:
            self._abandon(task, scoring_error(error))
        else:
            self._prepare_item(task, 0)

    def _prepare_item(self, task: GroupTask, index: int) -> None:
        if task.future.done():
            return
        assert task.references is not None
        try:
            prepared = task.prepare(task.references, index)
        except BaseException as raised:
            error = scoring_error(raised)
            if error.whole_group:
                self._abandon(task, error)
                return
            task.add_result(index, ItemResult(error=error))
        else:
            task.prepared[index] = prepared
        with self._changed:
            task.num_unprepared -= 1
            if not task.ready:
                return
            task.prepared_at = time.monotonic()
            if task.prepared:
                self._changed.notify_all()
                return
            self._remove(task)
        task.finish(task.prepared_at, 0.0)

    def _abandon(self, task: GroupTask, error: Exception) -> None:
        with self._changed:
            self._remove(task)
        task.fail(error)

    def _remove(self, task: GroupTask) -> None:
        """Take a task out of the window. Called under the lock."""
        if task in self._window:
            self._window.remove(task)
        self._advance()

    def _run(self) -> None:
        """Body of the scoring thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(task.ready for task in self._window))
                if self._closed:
                    return
                batch = self._take_batch()
            self._process(batch)
            del batch  # otherwise its videos stay in memory until the next one

    def _process(self, batch: list[GroupTask]) -> None:
        try:
            self._score(batch)
        except BaseException as error:  # the thread must survive, or no later future would be resolved
            log.error("the scheduler failed: %s", error_location(error))
        finally:
            for task in batch:
                task.fail(InternalError("the scheduler failed; the server's log says where"))

    def _take_batch(self, below_rank: int = len(PRIORITIES)) -> list[GroupTask]:
        """Ready tasks, most urgent first, as many as fit into one batch, at least one. Called under the lock.

        Only tasks of a rank below `below_rank` are taken.
        """
        batch: list[GroupTask] = []
        remaining = self._batch_tokens
        ready = [task for task in self._window if task.ready and task.rank < below_rank]
        ready.sort(key=lambda task: (task.times_passed < _MAX_TIMES_PASSED, task.rank))
        for position, task in enumerate(ready):
            if batch and task.tokens > remaining:
                for passed in ready[position:]:
                    passed.times_passed += 1
                break
            self._window.remove(task)
            if not task.expire():
                batch.append(task)
                remaining -= task.tokens
        self._advance()
        return batch

    def _score(self, batch: list[GroupTask]) -> None:
        """Score whole tasks in one forward pass, or a single task over the budget in several."""
        if not batch:
            return
        started = time.monotonic()
        chunks: list[list[BatchItem]]
        if len(batch) == 1 and batch[0].tokens > self._batch_tokens:
            chunks = [[(batch[0], index) for index in chunk] for chunk in batch[0].chunks(self._batch_tokens)]
        else:
            chunks = [[(task, index) for task in batch for index in sorted(task.prepared)]]
        num_passes = 0
        for number, chunk in enumerate(chunks):
            if number:
                self._score_more_urgent(batch[0])
            if not all(task.future.done() or (len(chunks) > 1 and task.expire()) for task in batch):
                self._runner.run(chunk)
                num_passes += 1
        if num_passes:
            # of a task that was cancelled between its chunks, only the scored part counts
            tokens = sum(task.tokens for task in batch) * num_passes // len(chunks)
            self._on_batch(tokens, len(batch))
            self._measure(tokens, min(task.started_at for task in batch))
        for task in batch:
            task.finish(started, time.monotonic() - started)

    def _score_more_urgent(self, large: GroupTask) -> None:
        """Between two chunks of a large task, score one batch of more urgent tasks that are ready."""
        with self._changed:
            batch = self._take_batch(below_rank=large.rank)
        if batch:
            self._measure(0, large.started_at)
            self._process(batch)

    def _measure(self, tokens: int, started_at: float) -> None:
        now = time.monotonic()
        self._throughput.record(tokens, now - max(self._measured_at, started_at))
        self._measured_at = now
