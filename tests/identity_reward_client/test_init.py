"""The light package stays light: a fresh interpreter imports every part of it fast and without torch.

Times are of the processor, which a busy machine stretches less than the clock on the wall.
"""

import json
import subprocess
import sys

import pytest

import identity_reward_client

HEAVY = {"torch", "transformers", "bentoml", "cv2", "onnxruntime", "scipy"}
PROBE = """
import json, sys, time
started = time.process_time()
{}
took = time.process_time() - started
print(json.dumps([took, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def probe(statement):
    command = [sys.executable, "-c", PROBE.format(statement)]
    took, loaded = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return took, set(loaded)


@pytest.mark.parametrize(
    "statement",
    [
        "import identity_reward_client",
        "from identity_reward_client import *",
        "import identity_reward_client.cli.app",
        "import identity_reward_client.preference, identity_reward_client.frame_sampling",
    ],
)
def test_imports_under_a_second_and_without_the_heavy(statement):
    runs = [probe(statement) for _ in range(3)]
    assert min(took for took, _ in runs) < 1
    assert not runs[0][1] & HEAVY


def test_the_bare_import_costs_no_third_party_package():
    assert not probe("import identity_reward_client")[1] & {"numpy", "pydantic", "httpx", "typer", "rich", "grpc"}


@pytest.mark.parametrize("module", ["cli.app", "transports.http", "fake", "wire.raw_body", "sync"])
def test_who_does_not_use_grpc_does_not_load_it(module):
    assert not probe(f"import identity_reward_client.{module}")[1] & {"grpc", "google"}


@pytest.mark.parametrize("name", identity_reward_client.__all__)
def test_every_public_name_loads(name):
    assert getattr(identity_reward_client, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        identity_reward_client.nonsense  # noqa: B018
