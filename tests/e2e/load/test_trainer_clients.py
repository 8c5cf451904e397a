"""The trainers of `real_clients` meet an overloaded service, and one that is started anew: they get right rewards."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from identity_reward_client import SyncRewardClient
from service.local import LocalRewardClient
from tests.e2e.conftest import b64
from tests.e2e.load.faults import Crowd, Restarting, easily_overloaded, noise
from tests.e2e.load.trainer_clients import TRAINERS

FPS = 8


@pytest.fixture(scope="module")
def local():
    with SyncRewardClient(LocalRewardClient(["tiny"])) as client:
        yield client


@pytest.fixture(scope="module")
def server(serve):
    one = Restarting(serve, easily_overloaded())
    yield one
    one.end()


class Sample:
    """A clip of its own with its true reward, and the body that asks for it."""

    def __init__(self, local: SyncRewardClient, seed: int):
        references, frames_THWC = [noise(seed)[0]], noise(seed + 100_000, frames=4)
        self.reward = local.score(references, frames_THWC, fps=FPS).reward
        self.body = {
            "references": [{"pixels": _pixels(references[0])}],
            "video": {"frames": _pixels(frames_THWC), "fps": FPS},
        }


def _pixels(array: np.ndarray) -> dict:
    return {"shape": list(array.shape), "data": b64(array.tobytes())}


class Trainers:
    """Every trainer scores one sample after the other until told to stop, then ends the one that it is at."""

    def __init__(self, server: Restarting, local: SyncRewardClient, samples: int = 6):
        self._url = f"{server.url}/v1/score"
        self._samples = {name: [Sample(local, 1000 * k + n) for n in range(samples)] for k, name in enumerate(TRAINERS)}
        self._stop = threading.Event()
        # by trainer: (when it asked, when it had its answer, the answer or None, the truth)
        self.found: dict[str, list[tuple[float, float, float | None, float]]] = {name: [] for name in TRAINERS}

    def run(self, trouble) -> None:
        with ThreadPoolExecutor(len(TRAINERS)) as pool:
            running = [pool.submit(self._train, name) for name in TRAINERS]
            try:
                trouble()
            finally:
                self._stop.set()
            for one in running:
                one.result(300)

    def _train(self, name: str) -> None:
        number = 0
        while not self._stop.is_set():
            sample = self._samples[name][number % len(self._samples[name])]
            begin = time.monotonic()
            reward = TRAINERS[name](self._url, sample.body)
            self.found[name].append((begin, time.monotonic(), reward, sample.reward))
            number += 1

    def check(self) -> dict[str, tuple[int, int]]:
        """By trainer how many rewards were right and how many None; every other outcome fails."""
        counts = {}
        for name, found in self.found.items():
            given = [(reward, truth) for _, _, reward, truth in found if reward is not None]
            assert [reward for reward, _ in given] == pytest.approx([truth for _, truth in given], abs=1e-6), name
            counts[name] = len(given), len(found) - len(given)
            assert given, f"{name} got no reward at all"
            if (
                name != "openrlhf"
            ):  # the only one that goes on without a reward; five seconds do not outlast the trouble
                assert counts[name][1] == 0, name
        return counts


def test_trainers_survive_some_seconds_of_overload(server, local):
    trainers = Trainers(server, local, samples=2)
    with Crowd(server.url, callers=4) as crowd:
        trainers.run(lambda: time.sleep(3))
    assert crowd.statuses[503] > 0
    trainers.check()


@pytest.mark.slow
def test_trainers_survive_30_seconds_of_overload_and_a_restart(server, local):
    trainers = Trainers(server, local)

    def trouble():
        with Crowd(server.url) as crowd:
            time.sleep(30)
        assert crowd.statuses[503] > crowd.statuses[200] > 0
        server.restart(away_s=5)
        time.sleep(5)

    trainers.run(trouble)
    print(trainers.check())
    longest = {name: max(end - begin for begin, end, *_ in found) for name, found in trainers.found.items()}
    print({name: round(seconds, 1) for name, seconds in longest.items()})
    # whoever waits for an answer, however long, was at it through the restart
    assert all(seconds > 5 for name, seconds in longest.items() if name != "openrlhf"), longest


@pytest.mark.slow
def test_a_trainer_that_gives_up_after_5_seconds_says_so(server, local):
    """OpenRLHF can't outlast an outage of 15 s: what it answers then is None, and afterwards it is right again."""
    sample = Sample(local, 42)
    server.kill()
    begin = time.monotonic()
    assert TRAINERS["openrlhf"](f"{server.url}/v1/score", sample.body) is None
    assert time.monotonic() - begin == pytest.approx(5, abs=2)
    server.start()
    assert TRAINERS["openrlhf"](f"{server.url}/v1/score", sample.body) == pytest.approx(sample.reward, abs=1e-6)
