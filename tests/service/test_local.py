import asyncio
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from identity_reward_client.base import RewardClient
from identity_reward_client.errors import InvalidRequest, MissingFps, ModelNotFound, NonFiniteReward
from identity_reward_client.sync import SyncRewardClient
from reward_model.registry import SCORERS
from service.engine.engine import ScoringEngine
from service.local import LocalRewardClient
from tests.examples.scripts import EXAMPLES
from tests.service.conftest import Brightness

REFERENCE = np.full((8, 8, 3), 50, np.uint8)


def clip(value: int) -> np.ndarray:
    return np.full((6, 8, 8, 3), value, np.uint8)


@pytest.fixture
def client():
    with SyncRewardClient(LocalRewardClient(["brightness"])) as client:
        yield client


def test_the_local_client_is_a_reward_client():
    assert isinstance(LocalRewardClient(), RewardClient)


def test_a_model_is_loaded_by_the_first_call_that_needs_it(monkeypatch):
    loaded = []

    class Named(Brightness):
        def __init__(self, name):
            super().__init__("cpu")
            self.info = replace(self.info, name=name)
            loaded.append(name)

    module = sys.modules["brightness_for_tests"]
    for name in ("first", "second", "third"):
        monkeypatch.setattr(module, name, lambda device, name=name: Named(name), raising=False)
        monkeypatch.setitem(SCORERS, name, f"brightness_for_tests:{name}")
    with SyncRewardClient(LocalRewardClient(["first", "second", "third"])) as client:
        assert not loaded
        assert client.score([REFERENCE], clip(51), fps=8, model="second").model.name == "second"
        assert loaded == ["second"]
        for _ in range(2):
            assert client.score([REFERENCE], clip(51), fps=8).model.name == "first"
        assert loaded == ["second", "first"]
        assert [info.name for info in client.models()] == ["first", "second", "third"]
        assert loaded == ["second", "first", "third"]
        with pytest.raises(ModelNotFound, match="there are first, second, third"):
            client.score([REFERENCE], clip(51), fps=8, model="fourth")


def test_scoring_with_the_default_model_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from service.local import LocalRewardClient; from identity_reward_client.sync import "
        "SyncRewardClient; client = SyncRewardClient(LocalRewardClient()); "
        f"client.score([{str(EXAMPLES / 'references/anna.jpg')!r}], {str(EXAMPLES / 'clips/one_person.mp4')!r}); "
        "client.close(); print(sorted({'torch', 'transformers', 'bentoml', 'grpc'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


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
        def start(self, names):
            starting.set()
            assert may_start.wait(60)
            super().start(names)

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
