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
from tests.trainer.conftest import flat_clip
from trainer.rewards import RemoteReward
from trainer.step import NoRewards, RewardSource
from trainer.types import RolloutGroup


class Slow(FakeRewardClient):
    """Waits as many seconds for a group as `waits` says of its prompt."""

    def __init__(self, waits: dict[str, float], **options):
        super().__init__(**options)
        self.waits = waits
        self.active = self.most_active = 0
        self.order: list[str] = []

    async def score_group(self, references, videos, **options):
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await asyncio.sleep(self.waits.get(options["prompt"], 0))
            self.order.append(options["prompt"])
            return await super().score_group(references, videos, **options)
        finally:
            self.active -= 1


def named(key: str, *levels: int) -> RolloutGroup:
    return RolloutGroup(key, [b"anna"], [flat_clip(level) for level in levels], fps=8, prompt=key)


def level(reward: float) -> int:
    return round(reward * 255)


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


def two_rewards(**faults):
    identity = FakeRewardClient(**faults)
    dark = FakeRewardClient(reward=lambda references, video, prompt: 1.0)
    return [RewardSource("identity", identity, weight=2.0), RewardSource("constant", dark, weight=-0.5)]


def test_weighted_rewards_are_summed_and_kept_apart(grey_group):
    with RemoteReward(two_rewards()) as reward:
        reward.submit(grey_group("a", 51, 102))
        step = reward.collect()
    assert step.rewards_PG[0] == pytest.approx([2 * 0.2 - 0.5, 2 * 0.4 - 0.5])
    assert step.components["identity"][0] == pytest.approx([0.2, 0.4])
    assert step.components["constant"][0] == pytest.approx([1.0, 1.0])
    assert step.fingerprints == {"identity": {"fake"}, "constant": {"fake"}}


def test_an_item_needs_all_of_its_rewards(grey_group):
    with RemoteReward(two_rewards(fail={0: ScoringFailed("no")})) as reward:
        reward.submit(grey_group("a", 51, 102))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[False, True]]
    assert step.components["constant"][0, 0] == 1.0
    assert [(e.reward, e.code) for e in step.errors] == [("identity", "scoring_failed")]


def test_what_one_source_answered_in_time_is_kept():
    sources = [RewardSource("quick", FakeRewardClient()), RewardSource("late", Slow({"a": 60.0}), weight=0.0)]
    with RemoteReward(sources, step_wait_s=0.3) as reward:
        reward.submit(named("a", 51))
        step = reward.collect()
    assert step.rewards_PG[0, 0] == pytest.approx(0.2), "one that is only watched is not needed"
    assert np.isnan(step.components["late"][0, 0])


def test_references_go_once_for_each_client_and_by_their_id():
    class Counting(FakeRewardClient):
        def __init__(self):
            super().__init__()
            self.uploads, self.seen = 0, []

        async def put_references(self, references):
            self.uploads += 1
            await asyncio.sleep(0.05)
            return await super().put_references(references)

        async def score_group(self, references, videos, **options):
            self.seen.append(references)
            return await super().score_group(references, videos, **options)

    client = Counting()
    anna, bea = [b"anna"], [np.zeros((8, 8, 3), np.uint8), b"bea"]
    with RemoteReward([RewardSource("a", client), RewardSource("b", client, model="fake")]) as reward:
        for step in range(2):
            for n, references in enumerate((anna, bea, anna, [b"anna"])):
                reward.submit(RolloutGroup(f"{step}.{n}", references, [flat_clip(n)], fps=8))
            reward.collect()
        assert client.uploads == 2
        assert all(isinstance(seen, str) for seen in client.seen)

        client._sets.clear()  # the service was started anew
        reward.submit(RolloutGroup("x", anna, [flat_clip(7)], fps=8))
        reward.submit(RolloutGroup("y", anna, [flat_clip(8)], fps=8))
        assert np.rint(reward.collect().rewards_PG * 255 / 2).tolist() == [[7], [8]]
        reward.submit(RolloutGroup("x", anna, [flat_clip(7)], fps=8))
        reward.collect()
        assert client.uploads == 3


def test_a_set_by_id_that_the_service_lost_is_an_error_of_its_group(grey_group):
    with RemoteReward(FakeRewardClient()) as reward:
        reward.submit(grey_group("a", 1, references="sha256:" + "0" * 64))
        reward.submit(grey_group("b", 2))
        step = reward.collect()
    assert step.error_counts == {"reference_set_not_found": 1}
    assert step.valid_PG.tolist() == [[False], [True]]


def test_a_client_that_answers_for_other_videos_is_not_believed(grey_group):
    class Short(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            answer = await super().score_group(references, videos, **options)
            return answer.model_copy(update={"items": answer.items[::-1]})

    with RemoteReward(Short()) as reward:
        reward.submit(grey_group("a", 1, 2))
        with pytest.raises(NoRewards, match="2 x invalid_response"):
            reward.collect()


def test_a_client_that_breaks_is_an_error_of_the_group(grey_group):
    class Broken(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            raise ZeroDivisionError("of the client")

    with RemoteReward(lambda: Broken()) as reward:
        reward.submit(grey_group("a", 1))
        with pytest.raises(NoRewards, match="1 x internal; first: ZeroDivisionError: of the client"):
            reward.collect()


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
