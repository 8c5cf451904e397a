"""RemoteReward on the fake client: order, masks, capacity, deadlines and shutdown."""

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
from identity_reward_client.fields.warnings import ScoreWarning
from tests.support.waiting import GENEROUS_S, wait_until
from tests.trainer.conftest import HeldClient, flat_clip, level, make_group
from trainer.rewards import NoRewards, RemoteReward, RewardSource
from trainer.types import RolloutGroup


def test_rewards_have_the_order_of_submission_whatever_the_order_of_the_answers():
    client = HeldClient("a", "b", "c")
    with RemoteReward(client) as reward:
        for group in (make_group("a", 1, 2), make_group("b", 3, 4), make_group("c", 5, 6)):
            reward.submit(group)
        for count, key in enumerate("cba", 1):
            client.release(key)
            wait_until(lambda count=count: len(client.answered) == count, "the answer")
        step = reward.collect()
    assert client.answered == ["c", "b", "a"]
    assert step.keys_P == ("a", "b", "c")
    assert np.rint(step.rewards_PG * 255).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert step.valid_PG.all()
    assert step.rewards_PG.dtype == np.float64
    assert {item: level(r) for item, r in step.by_item().items()}["b", 1] == 4


def test_submit_does_not_wait_and_scoring_beside_other_work_is_hidden(clock):
    client = HeldClient("a")
    with RemoteReward(client) as reward:
        reward.submit(make_group("a", 1))  # would wait forever if it waited for the answer
        wait_until(lambda: client.active, "the call")
        clock.now_s = 3.0
        client.release("a")
        wait_until(reward._step.groups[0].finished.is_set, "the result")
        clock.now_s = 4.0
        step = reward.collect()
    assert (step.scoring_s, step.waited_s, step.hidden_s) == (3.0, 0.0, 3.0)


def test_failed_item_is_missing_and_its_neighbours_are_not():
    with RemoteReward(FakeRewardClient(fail={1: ScoringFailed("no")})) as reward:
        reward.submit(make_group("a", 10, 20, 30))
        clips = [flat_clip(40), flat_clip(50), np.full((4, 8, 8, 3), np.nan)]
        reward.submit(RolloutGroup("b", [b"anna"], clips, fps=8))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[True, False, True], [True, False, False]]
    assert np.isnan(step.rewards_PG[~step.valid_PG]).all()
    assert [(e.item, e.code) for e in step.errors] == [
        (("a", 1), "scoring_failed"), (("b", 1), "scoring_failed"), (("b", 2), "invalid_request"),
    ]  # fmt: skip
    assert step.error_counts == {"scoring_failed": 2, "invalid_request": 1}


COPY = ScoreWarning(code="reference_copy", message="a copy in 100% of the frames", reference_index=0)
STILL = ScoreWarning(code="still_video", message="it moves by 1 level, below 6")


def test_items_with_a_warning_of_drop_on_are_missing_and_counted():
    client = FakeRewardClient(warnings={0: [STILL], 1: [STILL, COPY]})
    with RemoteReward(client, drop_on=("reference_copy", "short_clip")) as reward:
        reward.submit(make_group("a", 10, 20, 30))
        reward.submit(make_group("b", 40, 50))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[True, False, True], [True, False, False]]
    assert np.isnan(step.rewards_PG[~step.valid_PG]).all()
    assert np.isnan(step.components["reward"][~step.valid_PG]).all()
    assert [(e.item, e.reward, e.code, e.message) for e in step.errors] == [
        (("a", 1), "reward", "reference_copy", COPY.message), (("b", 1), "reward", "reference_copy", COPY.message),
    ]  # fmt: skip
    assert step.error_counts == {"reference_copy": 2}
    assert step.warning_counts == {"still_video": 4, "reference_copy": 2}


def test_without_drop_on_warnings_are_only_counted():
    with RemoteReward(FakeRewardClient(warnings={0: [STILL, COPY]})) as reward:
        reward.submit(make_group("a", 10, 20))
        step = reward.collect()
    assert step.valid_PG.all()
    assert step.errors == ()
    assert step.warning_counts == {"still_video": 1, "reference_copy": 1}


def test_a_source_without_weight_drops_items_too():
    faces = RewardSource("faces", FakeRewardClient(warnings={1: [COPY, COPY]}), weight=0.0)
    with RemoteReward([RewardSource("identity", FakeRewardClient()), faces], drop_on=["reference_copy"]) as reward:
        reward.submit(make_group("a", 10, 20))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[True, False]]
    assert np.isfinite(step.components["identity"]).all()
    assert step.warning_counts == {"reference_copy": 1}


def test_a_step_of_dropped_items_alone_has_no_rewards():
    with RemoteReward(FakeRewardClient(warnings={0: [COPY]}), drop_on=("reference_copy",)) as reward:
        reward.submit(make_group("a", 10))
        with pytest.raises(NoRewards, match="1 x reference_copy; first: a copy in 100% of the frames"):
            reward.collect()


def test_an_unknown_code_to_drop_on_is_refused_with_the_codes():
    with pytest.raises(ValueError, match=r"'no_face'; there are reference_copy, still_video, "):
        RemoteReward(FakeRewardClient(), drop_on=("no_face",))


def test_failed_call_fails_only_its_own_group():
    with RemoteReward(FakeRewardClient(fail_calls={0: Overloaded("full")}), max_in_flight=1) as reward:
        reward.submit(make_group("a", 1, 2))
        reward.submit(make_group("b", 3, 4))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[False, False], [True, True]]
    assert step.error_counts == {"overloaded": 2}


def test_smaller_groups_end_in_missing_items():
    with RemoteReward(FakeRewardClient()) as reward:
        reward.submit(make_group("a", 1))
        reward.submit(RolloutGroup("b", [b"anna"], np.stack([flat_clip(2), flat_clip(3)]), fps=8))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[True, False], [True, True]]
    assert step.errors == ()


def test_step_without_a_reward_raises_and_the_next_one_continues():
    with RemoteReward(FakeRewardClient(fail_calls={0: Overloaded("full")})) as reward:
        reward.submit(make_group("a", 1, 2))
        with pytest.raises(NoRewards, match=r"no item of 1 groups has a reward: 2 x overloaded; first: full") as caught:
            reward.collect()
        assert caught.value.step.error_counts == {"overloaded": 2}
        reward.submit(make_group("a", 3))
        assert level(reward.collect().rewards_PG[0, 0]) == 3


def test_submit_waits_while_max_in_flight_groups_are_scored(monkeypatch, clock):
    waiting = threading.Event()

    class WatchedSemaphore(threading.Semaphore):
        def acquire(self, blocking=True, timeout=None):
            if super().acquire(blocking=False):
                return True
            waiting.set()
            return super().acquire(blocking, timeout)

    monkeypatch.setattr(threading, "Semaphore", WatchedSemaphore)
    client = HeldClient(*"abcdefghi")
    with RemoteReward(client, max_in_flight=2) as reward:
        groups = [make_group(key, n) for n, key in enumerate("abcdefghi")]
        submitting = threading.Thread(target=lambda: [reward.submit(group) for group in groups])
        submitting.start()
        wait_until(lambda: client.active == 2, "two calls")
        assert waiting.wait(GENEROUS_S)
        assert len(reward._step.groups) == 2
        clock.now_s = 5.0
        for key in "abcdefghi":
            client.release(key)
        submitting.join(GENEROUS_S)
        step = reward.collect()
    assert client.max_active == 2
    assert step.valid_PG.all()
    assert step.waited_s == 5.0


def test_clip_is_released_once_its_group_is_scored():
    clip = flat_clip(1, frames=33)  # more than the model samples, so that a copy is sent
    with RemoteReward(FakeRewardClient()) as reward:
        reward.submit(RolloutGroup("a", [b"anna"], [clip], fps=8))
        reference = weakref.ref(clip)
        del clip
        wait_until(lambda: gc.collect() is not None and reference() is None, "the clip released")
        assert reward.collect().valid_PG.all()


def test_reward_that_is_late_for_the_step_is_missing():
    client = HeldClient("late")
    with RemoteReward(client, step_wait_s=0.5) as reward:
        reward.submit(make_group("late", 1, 2))
        reward.submit(make_group("b", 3))
        wait_until(lambda: client.answered == ["b"], "the answer")
        begin = time.monotonic()
        step = reward.collect()
        assert time.monotonic() - begin > 0.4
        assert step.valid_PG.tolist() == [[False, False], [True, False]]
        assert step.error_counts == {"deadline_exceeded": 2}
        assert client.active == 0, "its call is cancelled and its capacity is free"
        reward.submit(make_group("c", 9))
        wait_until(lambda: client.answered == ["b", "c"], "the answer")
        assert np.rint(reward.collect().rewards_PG * 255).tolist() == [[9]]


def test_step_without_capacity_continues_without_the_group():
    with RemoteReward(HeldClient("a"), max_in_flight=1, step_wait_s=0.4) as reward:
        reward.submit(make_group("a", 1))
        begin = time.monotonic()
        reward.submit(make_group("b", 2))
        reward.submit(make_group("c", 3))
        assert time.monotonic() - begin > 0.3
        with pytest.raises(NoRewards, match="3 x deadline_exceeded"):
            reward.collect()


def test_client_that_ignores_cancellation_does_not_block_the_step():
    release = threading.Event()

    class Stubborn(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            while not release.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue
            return await super().score_group(references, videos, **options)

    with RemoteReward(Stubborn(), step_wait_s=0.2) as reward:
        reward.submit(make_group("a", 1))
        with pytest.raises(NoRewards):
            reward.collect()
        release.set()


def test_close_cancels_calls_and_wakes_a_thread_that_waits():
    client = HeldClient("a")
    reward = RemoteReward(client)
    reward.submit(make_group("a", 1))
    wait_until(lambda: client.active, "the call")
    messages = []

    def collect():
        with pytest.raises(RuntimeError) as caught:
            reward.collect()
        messages.append(str(caught.value))

    thread = threading.Thread(target=collect)
    thread.start()
    reward.close()
    thread.join(GENEROUS_S)
    assert messages == ["this RemoteReward is closed"]
    assert client._closed
    reward.close()
    with pytest.raises(RuntimeError, match="closed"):
        reward.submit(make_group("b", 1))


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="max_in_flight"):
        RemoteReward(FakeRewardClient(), max_in_flight=0)
    with pytest.raises(ValueError, match="positive, finite number of seconds, got inf"):
        RemoteReward(FakeRewardClient(), step_wait_s=np.inf)
    with pytest.raises(ValueError, match="same name"):
        RemoteReward([RewardSource("a", FakeRewardClient()), RewardSource("a", FakeRewardClient())])


def test_client_that_cannot_be_created_leaves_no_thread():
    with pytest.raises(ZeroDivisionError):
        RemoteReward(lambda: 1 / 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "remote-reward"]


def test_empty_step_and_repeated_key_are_refused():
    with RemoteReward(FakeRewardClient()) as reward:
        with pytest.raises(ValueError, match="no group was submitted"):
            reward.collect()
        reward.submit(make_group("a", 1))
        with pytest.raises(ValueError, match="submitted twice"):
            reward.submit(make_group("a", 2))
        assert level(reward.collect().rewards_PG[0, 0]) == 1


def test_torch_is_not_loaded():
    code = "import sys, trainer.rewards, trainer.advantages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
