"""Rewards of a training step from a service, asked for while the caller goes on sampling.

with RemoteReward.http("http://127.0.0.1:3000") as reward:
    for group in rollout(policy, prompts):   # each finished group is on its way at once
        reward.submit(group)
    step = reward.collect()                  # rewards_PG with valid_PG
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from identity_reward_client.base import ReferencesLike, RewardClient
from identity_reward_client.errors import DeadlineExceeded, InternalError, RewardError
from identity_reward_client.messages import GroupResponse
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.responses import check_group
from identity_reward_client.transports.retry import RetryPolicy

from .reference_sets import ReferenceSets
from .step import Answered, NoRewards, Outcome, RewardSource, assemble, check_sources, covered_s
from .types import RolloutGroup, StepRewards

log = logging.getLogger("identity_reward.trainer")
# asks until the step is over, which ends it: the service may be away for as long as a step is willing to wait
UNTIL_THE_STEP_ENDS = RetryPolicy(max_attempts=1_000_000, base_s=0.25, max_delay_s=10.0, deadline_s=math.inf)
_CANCEL_S = 2.0  # that a cancelled call may take to go


class RemoteReward:
    """Scores groups in the background, in an event loop and a thread of its own. For one caller's thread.

    `sources` is a client, what makes one, or `RewardSource`s whose weighted sum is an item's reward.
    `max_in_flight` groups are under way at most, and hold their clips until they are answered; `submit` waits for room.
    `step_wait_s` bounds what a step waits in all, in `submit` and `collect` together: what is missing then stays
    missing, and time in which the caller does something else does not count. How often a failed call is repeated is the
    client's own `RetryPolicy`. The clients are closed with this object.
    """

    def __init__(
        self,
        sources: RewardClient | Callable[[], RewardClient] | RewardSource | Sequence[RewardSource],
        *,
        max_in_flight: int = 8,
        step_wait_s: float = 600.0,
    ):
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight is 1 or more, got {max_in_flight}")
        if not 0 < step_wait_s < threading.TIMEOUT_MAX:
            raise ValueError(f"step_wait_s is a positive number of seconds, and has an end; got {step_wait_s}")
        if not isinstance(sources, Sequence):
            sources = [sources if isinstance(sources, RewardSource) else RewardSource("reward", sources)]
        self._sources = check_sources(sources)
        self._room = threading.Semaphore(max_in_flight)
        self._step_wait_s = step_wait_s
        self._step = _Step()
        self._clients: dict[int, tuple[RewardClient, ReferenceSets]] = {}
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote-reward", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self.close()
            raise

    @classmethod
    def http(
        cls,
        url: str,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout_s: float = 150.0,
        retry: RetryPolicy = UNTIL_THE_STEP_ENDS,
        **options: Any,
    ) -> RemoteReward:
        """The service at `url`, asked ahead of others; it asks again until the step is over. `options` as above."""
        client = HttpRewardClient(url, token=token, timeout_s=timeout_s, retry=retry, priority="rollout")
        return cls(RewardSource("reward", client, model=model), **options)

    def submit(self, group: RolloutGroup) -> None:
        """Starts scoring `group` and returns; waits only where `max_in_flight` others are under way."""
        self._check_open()
        if any(pending.key == group.key for pending in self._step.groups):
            raise ValueError(f"group {group.key!r} was submitted twice in this step")
        pending = _Pending(group)
        begin = time.monotonic()
        room = self._room.acquire(timeout=max(self._step_wait_s - self._step.waited_s, 0.0))
        self._check_open()
        self._step.waited_s += time.monotonic() - begin
        self._step.groups.append(pending)
        if not room:
            error = DeadlineExceeded(f"no room for the group within the step's {self._step_wait_s:g} s of waiting")
            pending.outcomes = {source.name: error for source in self._sources}
            pending.done.set()
            return
        try:
            self._loop.call_soon_threadsafe(self._start, pending, group)
        except RuntimeError:
            raise RuntimeError("this RemoteReward was closed during the call") from None

    def collect(self) -> StepRewards:
        """The rewards of all groups submitted since the last `collect`; what came too late belongs to no step.

        Raises NoRewards where not one item has a reward.
        """
        self._check_open()
        if not self._step.groups:
            raise ValueError("no group was submitted since the last collect")
        step, self._step = self._step, _Step()
        begin = time.monotonic()
        until = begin + self._step_wait_s - step.waited_s
        for pending in step.groups:
            pending.done.wait(max(until - time.monotonic(), 0.0))
        late = [pending for pending in step.groups if not pending.done.is_set()]
        for pending in late:
            self._loop.call_soon_threadsafe(pending.cancel)
        until = time.monotonic() + _CANCEL_S
        for pending in late:
            pending.done.wait(max(until - time.monotonic(), 0.0))
        self._check_open()
        now = time.monotonic()
        step.waited_s += now - begin
        rewards = assemble(
            [Answered(pending.key, pending.size, dict(pending.outcomes)) for pending in step.groups],
            self._sources,
            covered_s((pending.begin, min(pending.end, now)) for pending in step.groups if pending.begin < math.inf),
            step.waited_s,
        )
        if not rewards.valid_PG.any():
            raise NoRewards(rewards)
        return rewards

    def close(self) -> None:
        """Ends what is under way and closes the clients; a call of another thread that waits gets a RuntimeError."""
        if self._closed or not self._thread.is_alive():
            return
        self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> RemoteReward:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed or not self._thread.is_alive():  # a fork has the loop, but not its thread
            raise RuntimeError("this RemoteReward is closed")

    async def _open(self) -> None:
        for source in self._sources:
            given = source.client
            if id(given) not in self._clients:
                # a class has a client's methods too
                ready = isinstance(given, RewardClient) and not isinstance(given, type)
                client: RewardClient = given if ready else given()  # type: ignore[assignment,operator]
                self._clients[id(given)] = client, ReferenceSets(client)

    async def _shut(self) -> None:
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=_CANCEL_S)
        for client, _ in self._clients.values():
            await client.close()

    def _start(self, pending: _Pending, group: RolloutGroup) -> None:
        if self._closed:
            return pending.done.set()
        pending.begin = time.monotonic()
        pending.task = self._loop.create_task(self._score(pending, group))
        pending.task.add_done_callback(lambda _: self._ended(pending))

    def _ended(self, pending: _Pending) -> None:
        pending.end = time.monotonic()
        pending.task = None
        pending.done.set()
        self._room.release()

    async def _score(self, pending: _Pending, group: RolloutGroup) -> None:
        async def ask(source: RewardSource) -> None:
            pending.outcomes[source.name] = await self._outcome(source, group)

        await asyncio.gather(*map(ask, self._sources))

    async def _outcome(self, source: RewardSource, group: RolloutGroup) -> Outcome:
        client, sets = self._clients[id(source.client)]
        videos = list(group.videos)

        async def ask(references: ReferencesLike) -> GroupResponse:
            return await client.score_group(references, videos, fps=group.fps, prompt=group.prompt, model=source.model)

        try:
            return check_group(await sets.ask(group.references, ask), len(videos))
        except RewardError as error:
            return error
        except Exception as error:
            log.exception("asking for %s of group %s failed", source.name, group.key)
            return InternalError(f"{type(error).__name__}: {error}")


class _Pending:
    """A group under way: written to by the loop's thread, read by the caller's once it is done or given up."""

    def __init__(self, group: RolloutGroup):
        self.key = group.key
        self.size = len(group.videos)
        self.outcomes: dict[str, Outcome] = {}
        self.begin = self.end = math.inf
        self.done = threading.Event()
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class _Step:
    def __init__(self) -> None:
        self.groups: list[_Pending] = []
        self.waited_s = 0.0
