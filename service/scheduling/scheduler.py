"""A model's queue: whose turn it is, what is prepared meanwhile, and one thread that scores what is ready."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any
from weakref import ref

from identity_reward_client.errors import (
    DeadlineExceeded,
    DeviceLost,
    InternalError,
    NonFiniteReward,
    RewardError,
    ScoringFailed,
)
from identity_reward_client.wire.headers import PRIORITIES
from reward_model.scorer import Scorer

from ..errors import stopping, where
from .admission import Drain
from .batch_work import Done, Outcome, Work
from .fair_queue import FairQueue

log = logging.getLogger("identity_reward")
_CLOSE_S = 10.0
# a ready work is passed over by more urgent ones so often at most
_MAX_PASSED = 8


class Scheduler:
    """Runs `scorer.forward` in a thread of its own on batches of whole groups, within `batch_tokens` tokens.

    Works wait in a fair queue; those whose turn is near are prepared in `pool`, as many as fill two batches (the less
    urgent don't count), so that the next batch is ready when this one is done. Every future gets its result or an
    error. A forward that raises fails its own batch; a batch of several works is then run again work by work, so that
    one caller's samples can't fail another's. A device that is lost fails everything and is told to `on_lost`.
    """

    def __init__(
        self,
        scorer: Scorer,
        pool: Executor,
        batch_tokens: int,
        drain: Drain | None = None,
        on_batch: Callable[[int, int], None] = lambda tokens, works: None,
        on_lost: Callable[[str], None] = lambda reason: None,
    ):
        self._scorer = scorer
        self._pool = pool
        self._batch_tokens = batch_tokens
        self._drain = drain or Drain()
        self._on_batch = on_batch
        self._on_lost = on_lost
        self._waiting: FairQueue[Work] = FairQueue()
        self._window: list[Work] = []  # being prepared or ready, in turn
        self._worked_at = 0.0
        self._closed = False
        self._lost: DeviceLost | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"score-{scorer.info.name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> Future[Done]:
        """Cancelling the future takes the work from the queue; from a batch that runs it can't be taken."""
        with self._changed:
            if self._closed:
                raise stopping()
            self._waiting.push(work, work.tokens, work.call.priority, work.call.client)
            self._advance()
        known = ref(work)  # else work and future hold each other, and the request's bytes, until a full collection

        def done(future: Future[Done]) -> None:
            if future.cancelled() and (gone := known()) is not None:
                self._cancelled(gone)

        work.future.add_done_callback(done)
        return work.future

    def close(self) -> None:
        """Refuse what waits and let the batch that runs finish, if that takes no longer than some seconds."""
        with self._changed:
            self._closed = True
            left = [*self._waiting.drain(), *self._window]
            self._window.clear()
            self._changed.notify_all()
        for work in left:
            work.fail(stopping())
        self._thread.join(_CLOSE_S)

    @property
    def works(self) -> int:
        """Waiting, being prepared or ready."""
        return len(self._waiting) + len(self._window)

    def _cancelled(self, work: Work) -> None:
        with self._changed:
            if not self._waiting.remove(work, work.call.priority, work.call.client) and work in self._window:
                self._window.remove(work)
            self._advance()

    def _advance(self) -> None:
        """Under the lock: begins to prepare the works whose turn is near."""
        while self._waiting:
            work = self._waiting.peek()
            # the less urgent don't count: theirs may be slow to decode
            ahead = [one.tokens for one in self._window if one.rank <= work.rank]
            if ahead and sum(ahead) + work.tokens > 2 * self._batch_tokens:
                return
            self._waiting.pop()
            if work.future.done() or work.expired():
                continue
            work.begun_at = time.monotonic()
            self._window.append(work)
            self._pool.submit(self._resolve, work)

    def _resolve(self, work: Work) -> None:
        """In the pool: what all items need, then every item, the first one in this very thread."""
        if work.future.done():
            return
        try:
            work.resolved = work.resolve()
            for number in range(1, len(work.prices)):
                self._pool.submit(self._prepare, work, number)
        except BaseException as error:
            self._give_up(work, _reported(error))
        else:
            self._prepare(work, 0)

    def _prepare(self, work: Work, number: int) -> None:
        if work.future.done():
            return
        try:
            prepared: Any = work.prepare(work.resolved, number)
        except BaseException as error:
            failed = _reported(error)
            if isinstance(failed, RewardError) and failed.whole_group:
                self._give_up(work, failed)
                return
            work.settle(number, failed)
        else:
            work.items[number] = prepared
        with self._changed:
            work.pending -= 1
            if work.pending:
                return
            work.prepared_at = time.monotonic()
            if work.items:
                self._changed.notify_all()
                return
            self._leave(work)
        _finish(work, work.prepared_at, 0.0)

    def _give_up(self, work: Work, error: Exception) -> None:
        with self._changed:
            self._leave(work)
        work.fail(error)

    def _leave(self, work: Work) -> None:
        """Under the lock."""
        if work in self._window:
            self._window.remove(work)
        self._advance()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(not work.pending for work in self._window))
                if self._closed:
                    return
                batch = self._take()
            self._answer(batch)
            del batch  # or its videos stay in memory until the next one

    def _answer(self, batch: list[Work]) -> None:
        try:
            self._score(batch)
        except BaseException as error:  # the thread lives on, or every later future would wait for ever
            log.error("the scheduler failed: %s", where(error))
        finally:
            for work in batch:
                work.fail(InternalError("the scheduler failed; the server's log says where"))

    def _take(self, below: int = len(PRIORITIES)) -> list[Work]:
        """Under the lock: ready works of a rank below, the urgent first, whole, as many as one forward may hold; at
        least one."""
        batch: list[Work] = []
        room = self._batch_tokens
        ready = [work for work in self._window if not work.pending and work.rank < below]
        ready.sort(key=lambda work: (work.passed < _MAX_PASSED, work.rank))
        for number, work in enumerate(ready):
            if batch and work.tokens > room:
                for passed in ready[number:]:
                    passed.passed += 1
                break
            self._window.remove(work)
            if not work.expired():
                batch.append(work)
                room -= work.tokens
        self._advance()
        return batch

    def _score(self, batch: list[Work]) -> None:
        if not batch:
            return
        started = time.monotonic()
        if len(batch) == 1 and batch[0].tokens > self._batch_tokens:
            chunks = [[(batch[0], number) for number in chunk] for chunk in batch[0].chunks(self._batch_tokens)]
        else:
            chunks = [[(work, number) for work in batch for number in sorted(work.items)]]
        passes = 0
        for number, chunk in enumerate(chunks):
            if number:
                self._let_pass(batch[0])
            if not all(work.future.done() or (len(chunks) > 1 and work.expired()) for work in batch):
                self._forward(chunk)
                passes += 1
        if passes:  # of a group whose caller left on the way, what was scored
            tokens = sum(work.tokens for work in batch) * passes // len(chunks)
            self._on_batch(tokens, len(batch))
            self._worked(tokens, min(work.begun_at for work in batch))
        for work in batch:
            _finish(work, started, time.monotonic() - started)

    def _let_pass(self, large: Work) -> None:
        """Between two parts of it: one batch of what is ready and more urgent."""
        with self._changed:
            batch = self._take(below=large.rank)
        if batch:
            self._worked(0, large.begun_at)
            self._answer(batch)

    def _worked(self, tokens: int, begun: float) -> None:
        now = time.monotonic()
        self._drain.worked(tokens, now - max(self._worked_at, begun))
        self._worked_at = now

    def _forward(self, chunk: list[tuple[Work, int]]) -> None:
        if self._lost is not None:
            self._settle(chunk, [self._lost] * len(chunk))
            return
        try:
            raws = self._scorer.forward([work.items[number] for work, number in chunk])
            if len(raws) != len(chunk):
                raise RuntimeError(f"forward gave {len(raws)} results for {len(chunk)} samples")
        except DeviceLost as error:
            log.error("the device is lost: %s", error.message)
            self._lost = error
            self._settle(chunk, [error] * len(chunk))
            self._on_lost(error.message)
            return
        except BaseException as error:
            works = list(dict.fromkeys(work for work, _ in chunk))
            if len(works) > 1:
                for work in works:
                    self._forward([one for one in chunk if one[0] is work])
                return
            raws = [_reported(error)] * len(chunk)
        self._settle(chunk, [self._outcome(raw) for raw in raws])

    @staticmethod
    def _settle(chunk: list[tuple[Work, int]], outcomes: Sequence[Outcome]) -> None:
        for (work, number), outcome in zip(chunk, outcomes, strict=True):
            work.settle(number, outcome)

    def _outcome(self, raw: Any) -> Outcome:
        if isinstance(raw, Exception):
            return raw
        try:
            score = self._scorer.postprocess(raw)
            if not math.isfinite(score.reward):
                raise NonFiniteReward(f"model {self._scorer.info.name!r} gave a reward that is not a finite number")
            return score
        except Exception as error:
            return _reported(error)


def _finish(work: Work, started: float, forward_s: float) -> None:
    if not work.claim():
        return
    queue_s = work.begun_at - work.queued_at + max(started - work.prepared_at, 0.0)
    try:
        outcomes = [work.outcomes[number] for number in range(len(work.prices))]
    except KeyError:
        work.future.set_exception(DeadlineExceeded("the time for this request was over while it was being scored"))
    else:
        work.future.set_result(Done(outcomes, queue_s, forward_s))


def _reported(error: BaseException) -> Exception:
    """A typed error as it is; any other is logged, without its text (it may quote inputs), and becomes a typed one."""
    if isinstance(error, RewardError):
        return error
    log.error("scoring failed: %s", where(error))
    return ScoringFailed("the model failed on this batch; the server's log says where")
