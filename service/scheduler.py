"""One queue and one thread for each scorer: what waits together is scored together."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from identity_reward_client.errors import InternalError, NotReady, Overloaded
from reward_model.errors import NonFiniteReward, ScoringError
from reward_model.scorer import Scorer
from reward_model.types import Score

from .failures import where

log = logging.getLogger("identity_reward")


@dataclass(frozen=True)
class Scored:
    """What became of a group: a score or an error for each item, in order."""

    outcomes: list[Score | Exception]
    queue_s: float
    forward_s: float


@dataclass(eq=False)
class _Group:
    items: Sequence[Any]
    future: Future[Scored] = field(default_factory=Future)
    queued_at: float = field(default_factory=time.monotonic)


class Scheduler:
    """Runs `scorer.forward` in a thread of its own on batches of whole groups.

    Every future that `submit` gives gets its result or an error. A forward that raises fails its own batch; a batch of
    several groups is then run again group by group, so that one caller's samples can't fail another's.
    """

    def __init__(self, scorer: Scorer, *, max_batch_items: int, max_waiting_items: int):
        self._scorer = scorer
        self._max_batch_items = max_batch_items
        self._max_waiting_items = max_waiting_items
        self._waiting: deque[_Group] = deque()
        self._admitted = 0
        self._seconds_per_item = 0.1  # of wall time, smoothed: what Retry-After is made from
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"score-{scorer.info.name}", daemon=True)
        self._thread.start()

    @property
    def admitted(self) -> int:
        """Items that were let in and are not answered yet."""
        return self._admitted

    @contextmanager
    def admit(self, count: int):
        """Room for `count` items, from before they are decoded until they are answered; without room, Overloaded."""
        with self._changed:
            if self._closed:
                raise NotReady("the server is stopping", retry_after_s=5)
            if self._admitted and self._admitted + count > self._max_waiting_items:
                seconds = min(max(math.ceil(self._admitted * self._seconds_per_item), 1), 60)
                raise Overloaded(
                    f"{self._admitted} videos are waiting and {count} more would be over {self._max_waiting_items}; "
                    f"try again in {seconds} s",
                    retry_after_s=seconds,
                )
            self._admitted += count
        try:
            yield
        finally:
            with self._changed:
                self._admitted -= count

    def submit(self, items: Sequence[Any]) -> Future[Scored]:
        """A group of what `scorer.preprocess` gave. Cancelling the future before its turn takes it from the queue."""
        group = _Group(items)
        with self._changed:
            if self._closed:
                raise NotReady("the server is stopping", retry_after_s=5)
            self._waiting.append(group)
            self._changed.notify()
        return group.future

    def close(self) -> None:
        """Finish the batch that runs and refuse what still waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    left = list(self._waiting)
                    self._waiting.clear()
                    break
                batch = self._take()
            try:
                self._score(batch)
            except BaseException as error:  # the thread lives on, or every later future would wait for ever
                log.error("the scheduler failed: %s", where(error))
            finally:
                for group in batch:
                    if not group.future.done():
                        group.future.set_exception(InternalError("the scheduler failed; the server's log says where"))
        for group in left:
            if group.future.set_running_or_notify_cancel():
                group.future.set_exception(NotReady("the server is stopping", retry_after_s=5))

    def _take(self) -> list[_Group]:
        batch: list[_Group] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0].items) <= self._max_batch_items):
            group = self._waiting.popleft()
            if group.future.set_running_or_notify_cancel():
                batch.append(group)
                count += len(group.items)
        return batch

    def _score(self, batch: list[_Group]) -> None:
        if not batch:
            return
        started = time.monotonic()
        try:
            raws = self._forward(batch)
        except BaseException as error:
            if len(batch) > 1:
                for group in batch:
                    self._score([group])
                return
            raws = [_reported(error)] * len(batch[0].items)
        forward_s = time.monotonic() - started
        self._seconds_per_item += 0.2 * (forward_s / len(raws) - self._seconds_per_item)
        rest = iter(raws)
        for group in batch:
            outcomes = [self._outcome(next(rest)) for _ in group.items]
            group.future.set_result(Scored(outcomes, started - group.queued_at, forward_s))

    def _forward(self, batch: list[_Group]) -> list[Any]:
        items = [item for group in batch for item in group.items]
        raws = list(self._scorer.forward(items))
        if len(raws) != len(items):
            raise RuntimeError(f"forward gave {len(raws)} results for {len(items)} samples")
        return raws

    def _outcome(self, raw: Any) -> Score | Exception:
        if isinstance(raw, Exception):
            return raw
        try:
            score = self._scorer.postprocess(raw)
            if not math.isfinite(score.reward):
                raise NonFiniteReward(f"model {self._scorer.info.name!r} gave a reward that is not a finite number")
            return score
        except Exception as error:
            return _reported(error)


def _reported(error: BaseException) -> Exception:
    """A typed error as it is; any other is logged, without its text (it may quote inputs), and becomes a typed one."""
    if isinstance(error, ScoringError):
        return error
    log.error("scoring failed: %s", where(error))
    return ScoringError("the model failed on this batch; the server's log says where")
