"""The package as its users see it: names that load on use, typed calls of every client, the in-process client.

Times are of the processor, which a busy machine stretches less than the clock on the wall.
"""

import inspect
import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Unpack, get_type_hints

import numpy as np
import pytest

import identity_reward_client
from identity_reward_client import (
    FakeRewardClient,
    GrpcRewardClient,
    HttpRewardClient,
    RewardClient,
    SyncRewardClient,
)
from identity_reward_client.base import CompareOptions, GroupOptions, ScoreOptions, request_fields
from identity_reward_client.local import NotInstalled, local_client
from service.local import LocalRewardClient

HEAVY = {"torch", "transformers", "bentoml", "cv2", "onnxruntime", "scipy"}
PROBE = """
import json, sys, time
started = time.process_time()
{}
elapsed = time.process_time() - started
print(json.dumps([elapsed, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def probe(statement):
    command = [sys.executable, "-c", PROBE.format(statement)]
    elapsed, loaded = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return elapsed, set(loaded)


@pytest.mark.parametrize(
    "statement",
    [
        "import identity_reward_client",
        "from identity_reward_client import *",
        "import identity_reward_client.cli.app",
        "import identity_reward_client.preference, identity_reward_client.frame_sampling",
    ],
)
def test_import_takes_under_a_second_and_loads_no_heavy_package(statement):
    runs = [probe(statement) for _ in range(3)]
    assert min(elapsed for elapsed, _ in runs) < 1
    assert not runs[0][1] & HEAVY


def test_bare_import_loads_no_third_party_package():
    assert not probe("import identity_reward_client")[1] & {"numpy", "pydantic", "httpx", "typer", "rich", "grpc"}


@pytest.mark.parametrize("module", ["cli.app", "transports.http", "fake", "wire.raw_body", "sync"])
def test_module_without_grpc_does_not_load_it(module):
    assert not probe(f"import identity_reward_client.{module}")[1] & {"grpc", "google"}


@pytest.mark.parametrize("name", identity_reward_client.__all__)
def test_every_public_name_loads(name):
    assert getattr(identity_reward_client, name).__name__ == name


def test_former_name_is_an_alias():
    with pytest.warns(DeprecationWarning, match="Picture is now ImageArray"):
        assert identity_reward_client.Picture is identity_reward_client.ImageArray


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        identity_reward_client.nonsense  # noqa: B018


CLIENTS = [RewardClient, FakeRewardClient, GrpcRewardClient, HttpRewardClient, LocalRewardClient, SyncRewardClient]
OPTIONS = {"score": ScoreOptions, "compare": CompareOptions, "score_group": GroupOptions}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("method", OPTIONS)
def test_every_client_has_the_same_typed_arguments(client, method):
    """What an editor completes and a type checker checks follows from these annotations."""
    function, expected = getattr(client, method), getattr(RewardClient, method)
    assert list(inspect.signature(function).parameters) == list(inspect.signature(expected).parameters)
    hints = get_type_hints(function)
    assert hints == get_type_hints(expected)
    assert hints["options"] == Unpack[OPTIONS[method]]


def test_options_have_their_keys():
    assert list(ScoreOptions.__annotations__) == ["fps", "prompt", "model", "details"]
    assert list(GroupOptions.__annotations__) == ["fps", "prompt", "model", "details", "theta", "matrices"]


@pytest.mark.parametrize("options", [{"promt": "two people"}, {"matrices": True}])
async def test_unknown_option_is_a_type_error(options):
    with pytest.raises(TypeError, match=f"unknown option '{next(iter(options))}'; there are fps, prompt"):
        await FakeRewardClient().score([b"jpg"], np.zeros((3, 8, 8, 3), np.uint8), **{"fps": 8, **options})


def test_fields_of_a_request_are_the_options_that_are_set():
    options: GroupOptions = {"fps": 8, "prompt": None, "details": False, "theta": 3.0}
    assert request_fields(options, GroupOptions) == {"details": False, "theta": 3.0}


@pytest.fixture
def entry_point(monkeypatch):
    def register(target: str) -> None:
        entries = [EntryPoint("local", target, "identity_reward.clients")]
        monkeypatch.setattr("identity_reward_client.local.entry_points", lambda group: entries)

    return register


def test_client_is_created_by_the_entry_point(entry_point, tmp_path, monkeypatch):
    (tmp_path / "plugin_local.py").write_text("def make(models=None):\n    return models\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry_point("plugin_local:make")
    assert local_client() is None
    assert local_client(("tiny",)) == ["tiny"]
    entry_point("identity_reward_client.fake:FakeRewardClient")
    assert isinstance(local_client(), FakeRewardClient)


def test_client_that_lacks_a_package_names_it(entry_point):
    entry_point("no_such_module:make")
    with pytest.raises(NotInstalled, match=r"no_such_module.*pip install"):
        local_client()
