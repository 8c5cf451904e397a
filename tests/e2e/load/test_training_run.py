"""A training run on a service that other clients overload and that is killed: every reward is right or missing."""

import threading
import time

import numpy as np
import pytest

from identity_reward_client import HttpRewardClient, SyncRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from service.local import LocalRewardClient
from tests.e2e.load.faults import CountingTransport, Crowd, RestartableServer, easily_overloaded, noise_clip
from trainer.advantages import group_advantages
from trainer.rewards import UNTIL_THE_STEP_ENDS, NoRewards, RemoteReward, RewardSource
from trainer.types import RolloutGroup

FPS = 8
PEOPLE = [[noise_clip(900 + n)[0], noise_clip(950 + n)[0]] for n in range(3)]


def groups(step: int, number: int, size: int) -> list[RolloutGroup]:
    """Groups of a step; each clip occurs once in a run."""
    first = 1000 + step * number * size
    return [
        RolloutGroup(
            f"{step}.{p}",
            PEOPLE[p % len(PEOPLE)],
            [noise_clip(first + p * size + g) for g in range(size)],
            fps=FPS,
        )
        for p in range(number)
    ]


def expected_rewards(local: SyncRewardClient, submitted: list[RolloutGroup]) -> np.ndarray:
    responses = [local.score_group(group.references, list(group.videos), fps=FPS) for group in submitted]
    return np.array([[item.reward for item in response.items] for response in responses])


def train(
    serve,
    *,
    steps: int,
    number: int,
    size: int,
    kills: dict[int, float],
    step_wait_s: float,
    callers: int = 6,
    retry: RetryPolicy = UNTIL_THE_STEP_ENDS,
):
    """Runs the steps. `kills` maps steps to seconds: the server is killed after the first group, and restarted then."""
    server = RestartableServer(serve, easily_overloaded())
    transport = CountingTransport()
    client = HttpRewardClient(server.url, priority="rollout", timeout_s=60, retry=retry, transport=transport)
    seen: dict[str, int] = {}
    missing = right = 0
    begin = time.monotonic()
    slowest = 0.0
    with (
        SyncRewardClient(LocalRewardClient(["tiny"])) as local,
        Crowd(server.url, callers) as crowd,
        RemoteReward(RewardSource("identity", client), max_in_flight=4, step_wait_s=step_wait_s) as reward,
    ):
        for step in range(steps):
            submitted = groups(step, number, size)
            restart = None
            step_begin = time.monotonic()
            for p, group in enumerate(submitted):
                reward.submit(group)
                if p == 0 and step in kills:
                    restart = threading.Thread(target=server.restart, args=(kills[step],))
                    restart.start()
            try:
                result = reward.collect()
            except NoRewards as error:
                result = error.step
            slowest = max(slowest, time.monotonic() - step_begin)
            for key in result.keys_P:
                seen[key] = seen.get(key, 0) + 1
            rewards_PG = expected_rewards(local, submitted)
            assert result.rewards_PG[result.valid_PG] == pytest.approx(rewards_PG[result.valid_PG], abs=1e-6)
            assert np.isnan(result.rewards_PG[~result.valid_PG]).all()
            assert len(result.errors) == (~result.valid_PG).sum(), "every missing reward has an error"
            used_PG = group_advantages(result.rewards_PG, result.valid_PG).used_PG
            assert not (used_PG & ~result.valid_PG).any()
            right += int(result.valid_PG.sum())
            missing += int((~result.valid_PG).sum())
            if restart is not None:
                restart.join(120)
        elapsed_s = time.monotonic() - begin
    server.end()
    assert server.starts == 1 + len(kills)
    assert seen == {f"{step}.{p}": 1 for step in range(steps) for p in range(number)}
    assert slowest < step_wait_s + 30
    return right, missing, elapsed_s, transport.statuses, crowd.statuses


def test_short_run_survives_overload_and_a_kill(serve):
    right, missing, elapsed_s, statuses, crowd_statuses = train(
        serve, steps=3, number=2, size=2, kills={1: 0.0}, step_wait_s=60, callers=3,
        retry=RetryPolicy(max_attempts=1000, max_delay_s=0.5, deadline_s=60),
    )  # fmt: skip
    print(f"{right} right, {missing} missing in {elapsed_s:.0f} s; statuses {statuses}, the crowd {crowd_statuses}")
    assert (right, missing) == (12, 0), "the step waits longer than the service is away"
    assert statuses[503] + statuses[0] > 0
    assert crowd_statuses[503] > 0


@pytest.mark.slow
def test_twenty_steps_of_16_groups_of_8(serve):
    kills = {3: 0.0, 9: 5.0, 15: 0.0}
    right, missing, elapsed_s, statuses, crowd_statuses = train(
        serve, steps=20, number=16, size=8, kills=kills, step_wait_s=90
    )
    print(f"{right} right, {missing} missing in {elapsed_s:.0f} s; statuses {statuses}, the crowd {crowd_statuses}")
    assert right + missing == 20 * 16 * 8
    assert right > 0.9 * (right + missing)
    assert statuses[503] > 0
    assert statuses[0] > 0, "the kill was noticed"
    assert crowd_statuses[503] > crowd_statuses[200] > 0, "the crowd overloads the service"


@pytest.mark.slow
def test_step_shorter_than_the_outage_continues_without_rewards(serve):
    """The service is away for longer than a step waits: the missing rewards have errors, and later steps recover."""
    server = RestartableServer(serve, easily_overloaded())
    with (
        SyncRewardClient(LocalRewardClient(["tiny"])) as local,
        RemoteReward.http(server.url, step_wait_s=3.0) as reward,
    ):
        counts = []
        for step in range(8):
            submitted = groups(step, 2, 2)
            if step == 1:
                server.kill()
            if step == 3:
                server.start()
            begin = time.monotonic()
            for group in submitted:
                reward.submit(group)
            try:
                result = reward.collect()
            except NoRewards as error:
                result = error.step
            assert time.monotonic() - begin < 3.0 + 3.0
            submitted_PG = expected_rewards(local, submitted)
            assert result.rewards_PG[result.valid_PG] == pytest.approx(submitted_PG[result.valid_PG], abs=1e-6)
            counts.append(int(result.valid_PG.sum()))
    server.end()
    assert counts == [4, 0, 0, 4, 4, 4, 4, 4]
