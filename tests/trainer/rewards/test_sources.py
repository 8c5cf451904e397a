"""Several rewards of an item, uploads of reference sets, and clients that misbehave."""

import asyncio

import numpy as np
import pytest

from identity_reward_client import FakeRewardClient
from identity_reward_client.errors import ScoringFailed
from tests.support.waiting import wait_until
from tests.trainer.conftest import HeldClient, flat_clip, make_group
from trainer.rewards import NoRewards, RemoteReward, RewardSource
from trainer.rewards.sources import check_sources
from trainer.types import RolloutGroup


def two_rewards(**faults):
    identity = FakeRewardClient(**faults)
    constant = FakeRewardClient(reward=lambda references, video, prompt: 1.0)
    return [RewardSource("identity", identity, weight=2.0), RewardSource("constant", constant, weight=-0.5)]


def test_weighted_rewards_are_summed_and_kept_as_components():
    with RemoteReward(two_rewards()) as reward:
        reward.submit(make_group("a", 51, 102))
        step = reward.collect()
    assert step.rewards_PG[0] == pytest.approx([2 * 0.2 - 0.5, 2 * 0.4 - 0.5])
    assert step.components["identity"][0] == pytest.approx([0.2, 0.4])
    assert step.components["constant"][0] == pytest.approx([1.0, 1.0])
    assert step.fingerprints == {"identity": {"fake"}, "constant": {"fake"}}


def test_item_needs_all_of_its_rewards():
    with RemoteReward(two_rewards(fail={0: ScoringFailed("no")})) as reward:
        reward.submit(make_group("a", 51, 102))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[False, True]]
    assert step.components["constant"][0, 0] == 1.0
    assert [(e.reward, e.code) for e in step.errors] == [("identity", "scoring_failed")]


def test_reward_of_one_source_is_kept_if_another_is_late():
    quick = HeldClient()
    sources = [RewardSource("quick", quick), RewardSource("late", HeldClient("a"), weight=0.0)]
    with RemoteReward(sources, step_wait_s=0.3) as reward:
        reward.submit(make_group("a", 51))
        wait_until(lambda: quick.answered == ["a"], "the answer")
        step = reward.collect()
    assert step.rewards_PG[0, 0] == pytest.approx(0.2), "a source without a weight is not needed"
    assert np.isnan(step.components["late"][0, 0])


def test_references_are_uploaded_once_per_client_and_sent_as_their_id():
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
        assert all(isinstance(references, str) for references in client.seen)

        client._sets.clear()  # as after a restart of the service
        reward.submit(RolloutGroup("x", anna, [flat_clip(7)], fps=8))
        reward.submit(RolloutGroup("y", anna, [flat_clip(8)], fps=8))
        assert np.rint(reward.collect().rewards_PG * 255 / 2).tolist() == [[7], [8]]
        reward.submit(RolloutGroup("x", anna, [flat_clip(7)], fps=8))
        reward.collect()
        assert client.uploads == 3


def test_id_of_a_set_that_the_service_lost_is_an_error_of_its_group():
    with RemoteReward(FakeRewardClient()) as reward:
        reward.submit(make_group("a", 1, references="sha256:" + "0" * 64))
        reward.submit(make_group("b", 2))
        step = reward.collect()
    assert step.error_counts == {"reference_set_not_found": 1}
    assert step.valid_PG.tolist() == [[False], [True]]


def test_response_for_other_videos_is_an_error():
    class Reversed(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            response = await super().score_group(references, videos, **options)
            return response.model_copy(update={"items": response.items[::-1]})

    with RemoteReward(Reversed()) as reward:
        reward.submit(make_group("a", 1, 2))
        with pytest.raises(NoRewards, match="2 x invalid_response"):
            reward.collect()


def test_client_that_raises_anything_is_an_error_of_the_group():
    class Broken(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            raise ZeroDivisionError("of the client")

    with RemoteReward(lambda: Broken()) as reward:
        reward.submit(make_group("a", 1))
        with pytest.raises(NoRewards, match="1 x internal; first: ZeroDivisionError: of the client"):
            reward.collect()


@pytest.mark.parametrize(
    ("weights", "message"),
    [([0.0], "weight other than 0"), ([np.nan], "finite"), ([1.0, np.inf], "finite")],
)
def test_impossible_weights_are_refused(weights, message):
    sources = [RewardSource(f"{n}", FakeRewardClient(), weight=weight) for n, weight in enumerate(weights)]
    with pytest.raises(ValueError, match=message):
        check_sources(sources)
