"""The callers of `trainer_clients` meet an overloaded service, and one that restarts: their rewards are right."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from identity_reward_client import SyncRewardClient
from service.local import LocalRewardClient
from tests.e2e.load.faults import Crowd, RestartableServer, easily_overloaded, noise_clip
from tests.e2e.load.trainer_clients import TRAINERS
from tests.support.media import b64
from tests.support.waiting import wait_until

FPS = 8


@pytest.fixture(scope="module")
def local():
    with SyncRewardClient(LocalRewardClient(["tiny"])) as client:
        yield client


@pytest.fixture(scope="module")
def server(serve):
    restartable = RestartableServer(serve, easily_overloaded())
    yield restartable
    restartable.end()


class Sample:
    """A clip with its true reward, and the body that asks for it."""

    def __init__(self, local: SyncRewardClient, seed: int):
        references, frames_THWC = [noise_clip(seed)[0]], noise_clip(seed + 100_000, frames=4)
        self.reward = local.score(references, frames_THWC, fps=FPS).reward
        self.body = {
            "references": [{"pixels": _pixels(references[0])}],
            "video": {"frames": _pixels(frames_THWC), "fps": FPS},
        }


def _pixels(array: np.ndarray) -> dict:
    return {"shape": list(array.shape), "data": b64(array.tobytes())}


@dataclass(frozen=True)
class Call:
    begin_s: float
    end_s: float
    reward: float | None
    expected: float


class Trainers:
    """Every trainer scores one sample after the other until it is stopped, then finishes the current one."""

    def __init__(self, server: RestartableServer, local: SyncRewardClient, samples: int = 6):
        self._url = f"{server.url}/v1/score"
        self._samples = {name: [Sample(local, 1000 * k + n) for n in range(samples)] for k, name in enumerate(TRAINERS)}
        self._stop = threading.Event()
        self.calls: dict[str, list[Call]] = {name: [] for name in TRAINERS}

    def run(self, cause_trouble) -> None:
        with ThreadPoolExecutor(len(TRAINERS)) as pool:
            running = [pool.submit(self._train, name) for name in TRAINERS]
            try:
                cause_trouble()
            finally:
                self._stop.set()
            for trainer in running:
                trainer.result(300)

    def _train(self, name: str) -> None:
        number = 0
        while not self._stop.is_set():
            sample = self._samples[name][number % len(self._samples[name])]
            begin = time.monotonic()
            reward = TRAINERS[name](self._url, sample.body)
            self.calls[name].append(Call(begin, time.monotonic(), reward, sample.reward))
            number += 1

    def check(self) -> dict[str, tuple[int, int]]:
        """By trainer how many rewards were right and how many None; every other outcome fails."""
        counts = {}
        for name, calls in self.calls.items():
            answered = [call for call in calls if call.reward is not None]
            rewards, expected = [call.reward for call in answered], [call.expected for call in answered]
            assert rewards == pytest.approx(expected, abs=1e-6), name
            counts[name] = len(answered), len(calls) - len(answered)
            assert answered, f"{name} got no reward at all"
            # the only one that goes on without a reward: its five seconds do not outlast the trouble
            if name != "openrlhf":
                assert counts[name][1] == 0, name
        return counts


def test_trainers_survive_an_overload(server, local):
    trainers = Trainers(server, local, samples=2)
    with Crowd(server.url, callers=4) as crowd:

        def every_trainer_called_during_an_overload() -> bool:
            return crowd.statuses[503] > 0 and all(
                any(call.reward is not None for call in calls) for calls in trainers.calls.values()
            )

        trainers.run(lambda: wait_until(every_trainer_called_during_an_overload, "overload, and a reward for each"))
    trainers.check()


@pytest.mark.slow
def test_trainers_survive_30_seconds_of_overload_and_a_restart(server, local):
    trainers = Trainers(server, local)

    def cause_trouble():
        with Crowd(server.url) as crowd:
            time.sleep(30)
        assert crowd.statuses[503] > crowd.statuses[200] > 0
        server.restart(away_s=5)
        time.sleep(5)

    trainers.run(cause_trouble)
    print(trainers.check())
    longest = {name: max(call.end_s - call.begin_s for call in calls) for name, calls in trainers.calls.items()}
    print({name: round(seconds, 1) for name, seconds in longest.items()})
    # whoever waits for an answer, however long, waited through the restart
    assert all(seconds > 5 for name, seconds in longest.items() if name != "openrlhf"), longest


@pytest.mark.slow
def test_a_trainer_client_that_gives_up_after_5_seconds_returns_none(server, local):
    """OpenRLHF can't outlast an outage of 15 s: it answers None then, and afterwards it is right again."""
    sample = Sample(local, 42)
    server.kill()
    begin = time.monotonic()
    assert TRAINERS["openrlhf"](f"{server.url}/v1/score", sample.body) is None
    assert time.monotonic() - begin == pytest.approx(5, abs=2)
    server.start()
    assert TRAINERS["openrlhf"](f"{server.url}/v1/score", sample.body) == pytest.approx(sample.reward, abs=1e-6)
