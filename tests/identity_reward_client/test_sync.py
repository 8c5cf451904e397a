import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from identity_reward_client import FakeRewardClient, HttpRewardClient, SyncRewardClient
from identity_reward_client.errors import RewardError


def test_calls_from_threads_and_from_inside_a_loop(wire, files, references):
    with SyncRewardClient(HttpRewardClient(wire.url)) as client:
        with ThreadPoolExecutor(8) as pool:
            rewards = list(pool.map(lambda _: client.score(references, files / "one.mp4").reward, range(16)))
        assert len(set(rewards)) == 1

        async def inside():
            return client.score(references, files / "one.mp4").reward

        assert asyncio.run(inside()) == rewards[0]
        with pytest.raises(RewardError):
            client.score(references, "gone.mp4")
    with pytest.raises(RuntimeError, match="closed"):
        client.models()


def test_close_ends_the_calls_of_other_threads():
    class Waiting(FakeRewardClient):
        async def models(self):
            started.set()
            await asyncio.sleep(60)

    started = threading.Event()
    client = SyncRewardClient(Waiting())
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.models)
        assert started.wait(5)
        client.close()
        with pytest.raises(RuntimeError, match="closed during the call"):
            call.result(timeout=5)
    client.close()


def test_many_threads_may_close_a_client_in_use():
    client = SyncRewardClient(FakeRewardClient())
    together = threading.Barrier(8)

    def use(index: int):
        together.wait()
        if index % 2:
            return client.close()
        for _ in range(200):
            client.models()

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(use, index) for index in range(8)]
        for index, call in enumerate(calls):
            error = call.exception(timeout=10)
            assert error is None or (not index % 2 and "closed" in str(error))
