"""Several rewards of an item, reference sets on their way, and clients that misbehave."""

import asyncio

import numpy as np
import pytest

from identity_reward_client import FakeRewardClient
from identity_reward_client.errors import ScoringFailed
from tests.trainer.conftest import Slow, flat_clip, named
from trainer.rewards import RemoteReward
from trainer.step import NoRewards, RewardSource
from trainer.types import RolloutGroup


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
