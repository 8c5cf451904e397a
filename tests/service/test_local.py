import asyncio
import threading

import numpy as np
import pytest

from identity_reward_client.base import RewardClient
from identity_reward_client.errors import InvalidRequest, MissingFps, ModelNotFound, NonFiniteReward
from identity_reward_client.sync import SyncRewardClient
from service.engine.engine import ScoringEngine
from service.local import LocalRewardClient

REFERENCE = np.full((8, 8, 3), 50, np.uint8)


def clip(value: int) -> np.ndarray:
    return np.full((6, 8, 8, 3), value, np.uint8)


@pytest.fixture
def client():
    with SyncRewardClient(LocalRewardClient(["brightness"])) as client:
        yield client


def test_the_local_client_is_a_reward_client():
    assert isinstance(LocalRewardClient(), RewardClient)


def test_nothing_is_loaded_before_the_first_call(monkeypatch):
    loaded = []
    monkeypatch.setattr("service.local.ScoringEngine.start", lambda self: loaded.append(self))
    client = LocalRewardClient(["brightness"])
    assert not loaded
    asyncio.run(client._started())
    asyncio.run(client._started())
    assert len(loaded) == 1


def test_arrays_are_scored_compared_and_grouped(client):
    assert client.score([REFERENCE], clip(51), fps=8).reward == 0.2
    assert client.compare([REFERENCE], clip(51), clip(102), fps=8).verdict == "B"
    group = client.score_group([REFERENCE], [clip(51), clip(102)], fps=8, matrices=True)
    assert [item.reward for item in group.items] == [0.2, 0.4]
    assert group.win[1][0] > group.win[0][1]
    assert [info.name for info in client.models()] == ["brightness"]


def test_stored_references_are_used_by_id(client):
    identity = client.put_references([REFERENCE])
    assert client.score(identity, clip(51), fps=8).reward == 0.2


def test_errors_are_those_of_a_remote_client(client, tmp_path):
    with pytest.raises(MissingFps):
        client.score([REFERENCE], clip(51))
    with pytest.raises(NonFiniteReward):
        client.score([REFERENCE], clip(7), fps=8)
    with pytest.raises(ModelNotFound):
        client.score([REFERENCE], clip(51), fps=8, model="other")
    with pytest.raises(InvalidRequest, match="theta"):
        client.compare([REFERENCE], clip(51), clip(51), fps=8, theta=0.5)
    group = client.score_group([REFERENCE], [str(tmp_path / "gone.mp4"), clip(51)], fps=8)
    assert [item.reward for item in group.items] == [None, 0.2]


def test_bad_devices_and_models_raise():
    with pytest.raises(InvalidRequest, match="device = 'gpu'"):
        LocalRewardClient(device="gpu")
    with pytest.raises(ModelNotFound, match="no model is called 'absent'"):
        asyncio.run(LocalRewardClient(["absent"]).models())


def test_a_client_works_in_several_event_loops_in_turn():
    client = LocalRewardClient("brightness")
    rewards = [asyncio.run(client.score([REFERENCE], clip(51), fps=8)).reward for _ in range(3)]
    asyncio.run(client.close())
    assert rewards == [0.2] * 3


def test_closing_while_models_load_closes_them(monkeypatch):
    starting, may_start, closed = threading.Event(), threading.Event(), []

    class SlowEngine(ScoringEngine):
        def start(self):
            starting.set()
            assert may_start.wait(60)
            super().start()

        async def close(self):
            closed.append(self)
            await super().close()

    monkeypatch.setattr("service.local.ScoringEngine", SlowEngine)

    async def cancelled_call():
        client = LocalRewardClient("brightness")
        call = asyncio.create_task(client.models())
        await asyncio.to_thread(starting.wait, 60)
        call.cancel()
        closing = asyncio.create_task(client.close())
        may_start.set()
        await closing
        with pytest.raises(RuntimeError, match="closed"):
            await client.models()

    asyncio.run(cancelled_call())
    assert len(closed) == 1
