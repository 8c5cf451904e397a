import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from identity_reward_client import FakeRewardClient, HttpRewardClient, SyncRewardClient
from identity_reward_client.errors import RewardError
from identity_reward_client.sync import BackgroundLoop
from tests.support.waiting import GENEROUS_S


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
        assert started.wait(GENEROUS_S)
        client.close()
        with pytest.raises(RuntimeError, match="closed during the call"):
            call.result(timeout=GENEROUS_S)
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
            error = call.exception(timeout=GENEROUS_S)
            assert error is None or (not index % 2 and "closed" in str(error))


async def _nothing() -> None:
    pass


def test_loop_runs_coroutines_and_functions_in_its_thread():
    loop = BackgroundLoop("test-loop", "the loop")
    called = threading.Event()
    names = []

    async def name() -> str:
        return threading.current_thread().name

    def call() -> None:
        names.append(threading.current_thread().name)
        called.set()

    assert loop.run(name) == "test-loop"
    loop.call_soon(call)
    assert called.wait(GENEROUS_S)
    assert names == ["test-loop"]
    loop.close(_nothing)
    loop.close(_nothing)
    assert loop.closed


def test_closed_loop_names_its_owner():
    loop = BackgroundLoop("test-loop", "this owner")
    loop.close(_nothing)
    for call in (lambda: loop.run(_nothing), lambda: loop.call_soon(print), loop.check_open):
        with pytest.raises(RuntimeError, match="this owner is closed"):
            call()


def test_close_does_not_wait_for_a_coroutine_that_ignores_cancellation(monkeypatch):
    monkeypatch.setattr("identity_reward_client.sync.CANCEL_S", 0.05)
    loop = BackgroundLoop("test-loop", "the loop")
    running = threading.Event()

    async def stubborn() -> None:
        running.set()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lambda: loop.run(stubborn))
        assert running.wait(GENEROUS_S)
        loop.close(_nothing)
        with pytest.raises(RuntimeError, match="the loop was closed during the call"):
            call.result(GENEROUS_S)
