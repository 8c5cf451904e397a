"""RemoteReward on the public fake client: order, masks, room, deadlines, weights, ends."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from identity_reward_client import FakeRewardClient
from identity_reward_client.errors import Overloaded, ScoringFailed
from tests.trainer.conftest import Slow, flat_clip, level, named
from trainer.rewards import RemoteReward
from trainer.step import NoRewards, RewardSource
from trainer.types import RolloutGroup


def test_answers_find_their_items_in_whatever_order_they_come():
    client = Slow({"a": 0.3, "b": 0.15, "c": 0.0})
    with RemoteReward(client) as reward:
        for group in (named("a", 1, 2), named("b", 3, 4), named("c", 5, 6)):
            reward.submit(group)
        step = reward.collect()
    assert client.order == ["c", "b", "a"]
    assert step.keys_P == ("a", "b", "c")
    assert np.rint(step.rewards_PG * 255).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert step.valid_PG.all()
    assert step.rewards_PG.dtype == np.float64
    assert {item: level(r) for item, r in step.by_item().items()}["b", 1] == 4


def test_submit_returns_at_once_and_the_rest_hides_behind_the_caller(grey_group):
    with RemoteReward(FakeRewardClient(latency_s=0.3)) as reward:
        begin = time.monotonic()
        reward.submit(grey_group("a", 1))
        assert time.monotonic() - begin < 0.1
        time.sleep(0.4)
        begin = time.monotonic()
        step = reward.collect()
        assert time.monotonic() - begin < 0.1
    assert step.scoring_s == pytest.approx(0.3, abs=0.1)
    assert step.hidden_s == pytest.approx(step.scoring_s, abs=0.05)


def test_an_item_that_fails_is_missing_and_its_neighbours_are_not(grey_group):
    with RemoteReward(FakeRewardClient(fail={1: ScoringFailed("no")})) as reward:
        reward.submit(grey_group("a", 10, 20, 30))
        reward.submit(
            RolloutGroup("b", [b"anna"], [flat_clip(40), flat_clip(50), np.full((4, 8, 8, 3), np.nan)], fps=8)
        )
        step = reward.collect()
    assert step.valid_PG.tolist() == [[True, False, True], [True, False, False]]
    assert np.isnan(step.rewards_PG[~step.valid_PG]).all()
    assert [(e.item, e.code) for e in step.errors] == [
        (("a", 1), "scoring_failed"), (("b", 1), "scoring_failed"), (("b", 2), "invalid_request"),
    ]  # fmt: skip
    assert step.error_counts == {"scoring_failed": 2, "invalid_request": 1}


def test_a_call_that_fails_costs_its_own_group(grey_group):
    with RemoteReward(FakeRewardClient(fail_calls={0: Overloaded("full")}), max_in_flight=1) as reward:
        reward.submit(grey_group("a", 1, 2))
        reward.submit(grey_group("b", 3, 4))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[False, False], [True, True]]
    assert step.error_counts == {"overloaded": 2}


def test_groups_of_several_sizes_end_in_missing_items(grey_group):
    with RemoteReward(FakeRewardClient()) as reward:
        reward.submit(grey_group("a", 1))
        reward.submit(RolloutGroup("b", [b"anna"], np.stack([flat_clip(2), flat_clip(3)]), fps=8))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[True, False], [True, True]]
    assert step.errors == ()


def test_a_step_without_a_reward_raises_and_the_next_one_may_go_on(grey_group):
    with RemoteReward(FakeRewardClient(fail_calls={0: Overloaded("full")})) as reward:
        reward.submit(grey_group("a", 1, 2))
        with pytest.raises(NoRewards, match=r"no item of 1 groups has a reward: 2 x overloaded; first: full") as caught:
            reward.collect()
        assert caught.value.step.error_counts == {"overloaded": 2}
        reward.submit(grey_group("a", 3))
        assert level(reward.collect().rewards_PG[0, 0]) == 3


def test_no_more_than_max_in_flight_are_under_way():
    client = Slow({str(n): 0.05 for n in range(9)})
    with RemoteReward(client, max_in_flight=2) as reward:
        begin = time.monotonic()
        for n in range(9):
            reward.submit(named(str(n), n))
        assert time.monotonic() - begin > 0.15, "submit waits for room"
        step = reward.collect()
    assert client.most_active == 2
    assert step.valid_PG.all()
    assert step.waited_s > 0.15


def test_a_clip_is_let_go_once_its_group_is_answered():
    clip = flat_clip(1, frames=33)  # more than the model looks at: what is sent is a copy
    with RemoteReward(FakeRewardClient()) as reward:
        reward.submit(RolloutGroup("a", [b"anna"], [clip], fps=8))
        gone = weakref.ref(clip)
        del clip
        deadline = time.monotonic() + 5
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.02)
            gc.collect()
        assert gone() is None
        assert reward.collect().valid_PG.all()


def test_what_is_not_there_when_the_step_is_over_is_missing():
    client = Slow({"late": 60.0})
    with RemoteReward(client, step_wait_s=0.5) as reward:
        reward.submit(named("late", 1, 2))
        reward.submit(named("b", 3))
        begin = time.monotonic()
        step = reward.collect()
        assert 0.4 < time.monotonic() - begin < 2
        assert step.valid_PG.tolist() == [[False, False], [True, False]]
        assert step.error_counts == {"deadline_exceeded": 2}
        # its room is free again, and its answer is nobody's
        assert client.active == 0
        reward.submit(named("late2", 9))
        assert np.rint(reward.collect().rewards_PG * 255).tolist() == [[9]]


def test_a_step_that_finds_no_room_goes_on_without_the_group():
    with RemoteReward(Slow({"a": 60.0}), max_in_flight=1, step_wait_s=0.4) as reward:
        reward.submit(named("a", 1))
        begin = time.monotonic()
        reward.submit(named("b", 2))
        reward.submit(named("c", 3))
        assert 0.3 < time.monotonic() - begin < 1
        with pytest.raises(NoRewards, match="3 x deadline_exceeded"):
            reward.collect()
        assert time.monotonic() - begin < 3


def test_a_client_that_can_not_be_cancelled_does_not_hold_the_loop():
    class Stubborn(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            until = time.monotonic() + 3
            while time.monotonic() < until:
                try:
                    await asyncio.sleep(until - time.monotonic())
                except asyncio.CancelledError:
                    continue
            return await super().score_group(references, videos, **options)

    with RemoteReward(Stubborn(), step_wait_s=0.2) as reward:
        reward.submit(named("a", 1))
        begin = time.monotonic()
        with pytest.raises(NoRewards):
            reward.collect()
        assert time.monotonic() - begin < 3


def test_closing_ends_what_is_under_way_and_wakes_who_waits():
    client = Slow({"a": 60.0})
    reward = RemoteReward(client)
    reward.submit(named("a", 1))
    said = []

    def wait():
        with pytest.raises(RuntimeError) as caught:
            reward.collect()
        said.append(str(caught.value))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    begin = time.monotonic()
    reward.close()
    waiting.join(5)
    assert time.monotonic() - begin < 2
    assert said == ["this RemoteReward is closed"]
    assert client._closed
    reward.close()
    with pytest.raises(RuntimeError, match="closed"):
        reward.submit(named("b", 1))


def test_what_can_not_be_meant_is_refused(grey_group):
    with pytest.raises(ValueError, match="max_in_flight"):
        RemoteReward(FakeRewardClient(), max_in_flight=0)
    with pytest.raises(ValueError, match="has an end"):
        RemoteReward(FakeRewardClient(), step_wait_s=np.inf)
    with pytest.raises(ValueError, match="same name"):
        RemoteReward([RewardSource("a", FakeRewardClient()), RewardSource("a", FakeRewardClient())])
    with pytest.raises(ValueError, match="weight other than 0"):
        RemoteReward([RewardSource("a", FakeRewardClient(), weight=0.0)])
    with pytest.raises(ValueError, match="finite"):
        RemoteReward([RewardSource("a", FakeRewardClient(), weight=np.nan)])
    with pytest.raises(ValueError, match="has no videos"):
        RolloutGroup("a", [b"anna"], [])
    with pytest.raises(ZeroDivisionError):
        RemoteReward(lambda: 1 / 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "remote-reward"]
    with RemoteReward(FakeRewardClient()) as reward:
        with pytest.raises(ValueError, match="no group was submitted"):
            reward.collect()
        reward.submit(grey_group("a", 1))
        with pytest.raises(ValueError, match="submitted twice"):
            reward.submit(grey_group("a", 2))
        assert level(reward.collect().rewards_PG[0, 0]) == 1


def test_it_loads_no_torch():
    code = "import sys, trainer.rewards, trainer.advantages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
