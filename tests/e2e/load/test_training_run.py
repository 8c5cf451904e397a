"""A training run on a service that others overload and that dies: every reward is right or missing, and it goes on."""

import threading
import time

import numpy as np
import pytest

from identity_reward_client import HttpRewardClient, SyncRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from service.local import LocalRewardClient
from tests.e2e.load.faults import CountingTransport, Crowd, RestartableServer, easily_overloaded, noise_clip
from trainer.advantages import group_advantages
from trainer.rewards import UNTIL_THE_STEP_ENDS, RemoteReward
from trainer.step import NoRewards, RewardSource
from trainer.types import RolloutGroup

FPS = 8
PEOPLE = [[noise_clip(900 + n)[0], noise_clip(950 + n)[0]] for n in range(3)]


def groups(step: int, number: int, size: int) -> list[RolloutGroup]:
    """Groups of a step; no clip comes twice in a run."""
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


def right_rewards(local: SyncRewardClient, wanted: list[RolloutGroup]) -> np.ndarray:
    answers = [local.score_group(group.references, list(group.videos), fps=FPS) for group in wanted]
    return np.array([[item.reward for item in answer.items] for answer in answers])


def tenant(
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
    """Runs the steps; `kills` says after which step's first group the server dies, and how long it stays away."""
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
            wanted = groups(step, number, size)
            restart = None
            step_begin = time.monotonic()
            for p, group in enumerate(wanted):
                reward.submit(group)
                if p == 0 and step in kills:
                    restart = threading.Thread(target=server.restart, args=(kills[step],))
                    restart.start()
            try:
                found = reward.collect()
            except NoRewards as error:
                found = error.step
            slowest = max(slowest, time.monotonic() - step_begin)
            for key in found.keys_P:
                seen[key] = seen.get(key, 0) + 1
            rewards_PG = right_rewards(local, wanted)
            assert found.rewards_PG[found.valid_PG] == pytest.approx(rewards_PG[found.valid_PG], abs=1e-6)
            assert np.isnan(found.rewards_PG[~found.valid_PG]).all()
            assert len(found.errors) == (~found.valid_PG).sum(), "what is missing has a reason"
            used_PG = group_advantages(found.rewards_PG, found.valid_PG).used_PG
            assert not (used_PG & ~found.valid_PG).any()
            right += int(found.valid_PG.sum())
            missing += int((~found.valid_PG).sum())
            if restart is not None:
                restart.join(120)
        took = time.monotonic() - begin
    server.end()
    assert server.starts == 1 + len(kills)
    assert seen == {f"{step}.{p}": 1 for step in range(steps) for p in range(number)}
    assert slowest < step_wait_s + 30
    return right, missing, took, transport.statuses, crowd.statuses


def test_a_short_run_survives_a_crowd_and_a_kill(serve):
    right, missing, took, answered, crowd = tenant(
        serve, steps=3, number=2, size=2, kills={1: 0.0}, step_wait_s=60, callers=3,
        retry=RetryPolicy(max_attempts=1000, max_delay_s=0.5, deadline_s=60),
    )  # fmt: skip
    print(f"{right} right, {missing} missing in {took:.0f} s; answered {answered}, the crowd {crowd}")
    assert (right, missing) == (12, 0), "the step waits longer than the service was away"
    assert answered[503] + answered[0] > 0
    assert crowd[503] > 0


@pytest.mark.slow
def test_twenty_steps_of_16_groups_of_8(serve):
    kills = {3: 0.0, 9: 5.0, 15: 0.0}
    right, missing, took, answered, crowd = tenant(serve, steps=20, number=16, size=8, kills=kills, step_wait_s=90)
    print(f"{right} rewards right, {missing} missing in {took:.0f} s; answered {answered}, the crowd {crowd}")
    assert right + missing == 20 * 16 * 8
    assert right > 0.9 * (right + missing)
    assert answered[503] > 0
    assert answered[0] > 0, "the kill was felt"
    assert crowd[503] > crowd[200] > 0, "the crowd overloads the service"


@pytest.mark.slow
def test_a_step_shorter_than_the_outage_goes_on_without_its_rewards(serve):
    """The service stays away for longer than a step waits: what is missing is said to be, and later steps recover."""
    server = RestartableServer(serve, easily_overloaded())
    with (
        SyncRewardClient(LocalRewardClient(["tiny"])) as local,
        RemoteReward.http(server.url, step_wait_s=3.0) as reward,
    ):
        counts = []
        for step in range(8):
            wanted = groups(step, 2, 2)
            if step == 1:
                server.kill()
            if step == 3:
                server.start()
            begin = time.monotonic()
            for group in wanted:
                reward.submit(group)
            try:
                found = reward.collect()
            except NoRewards as error:
                found = error.step
            assert time.monotonic() - begin < 3.0 + 3.0
            wanted_PG = right_rewards(local, wanted)
            assert found.rewards_PG[found.valid_PG] == pytest.approx(wanted_PG[found.valid_PG], abs=1e-6)
            counts.append(int(found.valid_PG.sum()))
    server.end()
    assert counts == [4, 0, 0, 4, 4, 4, 4, 4]
