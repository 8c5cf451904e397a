"""Rewards of a training step from a service, requested while the caller continues sampling.

with RemoteReward.http("http://127.0.0.1:3000") as reward:
    for group in rollout(policy, prompts):   # each finished group is sent at once
        reward.submit(group)
    step = reward.collect()                  # rewards_PG with valid_PG
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Self

from identity_reward_client.base import ReferencesLike, RewardClient
from identity_reward_client.errors import DeadlineExceeded, InternalError, RewardError
from identity_reward_client.fields.warnings import check_codes
from identity_reward_client.inputs.media import to_references
from identity_reward_client.messages import GroupResponse
from identity_reward_client.sync import CANCEL_S, BackgroundLoop
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.reference_uploads import ReferenceUploads
from identity_reward_client.transports.responses import check_group
from identity_reward_client.transports.retry import RetryPolicy

from ..types import RolloutGroup, StepRewards
from .sources import RewardSource, check_sources
from .step import GroupResults, NoRewards, SourceResult, assemble, covered_s

log = logging.getLogger("identity_reward.trainer")
# retries until the end of the step: the service may be away for as long as a step is willing to wait
UNTIL_THE_STEP_ENDS = RetryPolicy(max_attempts=1_000_000, base_s=0.25, max_delay_s=10.0, deadline_s=math.inf)


class RemoteReward:
    """Scores groups in a background thread. For one calling thread.

    Args:
        sources: a client, a function that creates one, or `RewardSource`s whose weighted sum is an item's reward. How
            often a failed call is repeated is the client's own `RetryPolicy`. The clients are closed with this object.
        max_in_flight: groups that are scored at the same time, and keep their clips in memory until then; `submit`
            waits while there are as many.
        step_wait_s: seconds that a step waits at most, in `submit` and `collect` together. A reward that is not there
            by then is missing. Time in which the caller does something else does not count.
        drop_on: codes of warnings (`WarningCode`) for which an item becomes missing, as after an error.
            ValueError for an unknown one.
    """

    def __init__(
        self,
        sources: RewardClient | Callable[[], RewardClient] | RewardSource | Sequence[RewardSource],
        *,
        max_in_flight: int = 8,
        step_wait_s: float = 600.0,
        drop_on: Collection[str] = (),
    ) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight is 1 or more, got {max_in_flight}")
        if not 0 < step_wait_s < threading.TIMEOUT_MAX:
            raise ValueError(f"step_wait_s is a positive, finite number of seconds, got {step_wait_s}")
        if not isinstance(sources, Sequence):
            sources = [sources if isinstance(sources, RewardSource) else RewardSource("reward", sources)]
        self._sources = check_sources(sources)
        self._drop_on = check_codes(drop_on)
        self._capacity = threading.Semaphore(max_in_flight)
        self._step_wait_s = step_wait_s
        self._step = _Step()
        # by id() of a source's `client`
        self._clients: dict[int, tuple[RewardClient, ReferenceUploads]] = {}
        self._loop = BackgroundLoop("remote-reward", "this RemoteReward")
        try:
            self._loop.run(self._open_clients)
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
        """The reward of the service at `url`, with the priority of rollouts. `options` as of the constructor."""
        client = HttpRewardClient(url, token=token, timeout_s=timeout_s, retry=retry, priority="rollout")
        return cls(RewardSource("reward", client, model=model), **options)

    @property
    def weights(self) -> dict[str, float]:
        """Factor of each reward in the sum, by the name of its source."""
        return {source.name: source.weight for source in self._sources}

    def submit(self, group: RolloutGroup) -> None:
        """Start scoring `group` and return. Waits only while `max_in_flight` other groups are being scored.

        ValueError for a key that another group of the step has.
        """
        self._loop.check_open()
        if any(pending.key == group.key for pending in self._step.groups):
            raise ValueError(f"group {group.key!r} was submitted twice in this step")
        pending = _PendingGroup(group)
        begin = time.monotonic()
        acquired = self._capacity.acquire(timeout=max(self._step_wait_s - self._step.waited_s, 0.0))
        self._loop.check_open()
        self._step.waited_s += time.monotonic() - begin
        self._step.groups.append(pending)
        if not acquired:
            error = DeadlineExceeded(
                f"{self._step_wait_s:g} s of waiting, as many as a step may take, brought no capacity for the group"
            )
            pending.results = {source.name: error for source in self._sources}
            pending.finished.set()
            return
        self._loop.call_soon(lambda: self._start(pending, group))

    def collect(self) -> StepRewards:
        """The rewards of all groups submitted since the last `collect`.

        Raises NoRewards if no item has a reward, and ValueError if no group was submitted.
        """
        self._loop.check_open()
        if not self._step.groups:
            raise ValueError("no group was submitted since the last collect")
        step, self._step = self._step, _Step()
        begin = time.monotonic()
        _wait_for(step.groups, begin + self._step_wait_s - step.waited_s)
        late = [pending for pending in step.groups if not pending.finished.is_set()]
        for pending in late:
            self._loop.call_soon(pending.cancel)
        _wait_for(late, time.monotonic() + CANCEL_S)
        self._loop.check_open()
        now = time.monotonic()
        step.waited_s += now - begin
        rewards = assemble(
            [GroupResults(pending.key, pending.size, dict(pending.results)) for pending in step.groups],
            self._sources,
            covered_s((pending.begin, min(pending.end, now)) for pending in step.groups if pending.begin < math.inf),
            step.waited_s,
            self._drop_on,
        )
        if not rewards.valid_PG.any():
            raise NoRewards(rewards)
        return rewards

    def close(self) -> None:
        """Cancel what is being scored and close the clients. A call in another thread raises RuntimeError."""
        self._loop.close(self._close_clients)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _open_clients(self) -> None:
        for source in self._sources:
            if id(source.client) not in self._clients:
                client = _open(source.client)
                self._clients[id(source.client)] = client, ReferenceUploads(client.put_references)

    async def _close_clients(self) -> None:
        for client, _ in self._clients.values():
            await client.close()

    def _start(self, pending: _PendingGroup, group: RolloutGroup) -> None:
        pending.begin = time.monotonic()
        pending.task = asyncio.get_running_loop().create_task(self._score(pending, group))
        pending.task.add_done_callback(lambda _: self._finish(pending))

    def _finish(self, pending: _PendingGroup) -> None:
        pending.end = time.monotonic()
        pending.task = None
        pending.finished.set()
        self._capacity.release()

    async def _score(self, pending: _PendingGroup, group: RolloutGroup) -> None:
        async def score_by(source: RewardSource) -> None:
            pending.results[source.name] = await self._result(source, group)

        await asyncio.gather(*map(score_by, self._sources))

    async def _result(self, source: RewardSource, group: RolloutGroup) -> SourceResult:
        client, uploads = self._clients[id(source.client)]
        videos = list(group.videos)

        async def score_group(references: ReferencesLike) -> GroupResponse:
            return await client.score_group(references, videos, fps=group.fps, prompt=group.prompt, model=source.model)

        try:
            references = await asyncio.to_thread(to_references, group.references)
            if isinstance(references, str):
                response = await score_group(references)
            else:
                response = await uploads.call_by_id(references, score_group)
            return check_group(response, len(videos))
        except RewardError as error:
            return error
        except Exception as error:  # a client of the user's own may raise anything
            log.exception("the source %s failed for group %s", source.name, group.key)
            return InternalError(f"{type(error).__name__}: {error}")


class _PendingGroup:
    """A group that is being scored: written by the loop's thread, and read by the caller's once it is finished."""

    def __init__(self, group: RolloutGroup) -> None:
        self.key = group.key
        self.size = len(group.videos)
        self.results: dict[str, SourceResult] = {}
        self.begin = self.end = math.inf
        self.finished = threading.Event()
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class _Step:
    """The groups since the last `collect`, and the seconds that `submit` has waited for capacity."""

    def __init__(self) -> None:
        self.groups: list[_PendingGroup] = []
        self.waited_s = 0.0


def _open(client: RewardClient | Callable[[], RewardClient]) -> RewardClient:
    # a class of clients has their methods too
    if isinstance(client, RewardClient) and not isinstance(client, type):
        return client
    return client()  # type: ignore[operator]


def _wait_for(groups: Sequence[_PendingGroup], until: float) -> None:
    for pending in groups:
        pending.finished.wait(max(until - time.monotonic(), 0.0))
