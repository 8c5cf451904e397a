"""Two distributions from one tree share no file; the client works without torch."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint

import pytest

from tests.support.paths import ROOT

LIGHT = ROOT / ".venv/light/bin/python"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheels")
    for source in (ROOT / "clients", ROOT):
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    return {path.name.split("-")[0]: set(zipfile.ZipFile(path).namelist()) for path in out.glob("*.whl")}


def packages(names):
    return {name.split("/")[0] for name in names if ".dist-info/" not in name}


def test_the_wheels_share_no_file(wheels):
    assert set(wheels) == {"identity_reward", "identity_reward_client"}
    assert not wheels["identity_reward"] & wheels["identity_reward_client"]
    assert packages(wheels["identity_reward"]) == {"service", "reward_model", "trainer", "frame_ops"}
    assert "identity_reward_client" in packages(wheels["identity_reward_client"])
    assert not packages(wheels["identity_reward_client"]) & packages(wheels["identity_reward"])


def test_entry_points_can_be_loaded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = [EntryPoint(*entry, group) for group, named in project["entry-points"].items() for entry in named.items()]
    assert {entry.name for entry in entries} >= {"serve", "local", "import-checkpoint", "export-checkpoint"}
    assert all(callable(entry.load()) for entry in entries)


@pytest.fixture(scope="module")
def light():
    if not LIGHT.exists():
        message = f"{LIGHT} is missing; `make .venv/test-installed` makes it"
        assert not os.environ.get("CI"), message
        pytest.skip(message)
    return LIGHT


def test_the_client_imports_fast_and_without_torch(light):
    program = """
import importlib.util, json, pkgutil, sys, time
assert importlib.util.find_spec("torch") is None
start = time.process_time()
import identity_reward_client
from identity_reward_client import HttpRewardClient, SyncRewardClient
seconds = time.process_time() - start
for module in pkgutil.walk_packages(identity_reward_client.__path__, "identity_reward_client."):
    importlib.import_module(module.name)
print(json.dumps({"seconds": seconds, "where": identity_reward_client.__file__}))
"""
    runs = []
    for _ in range(3):
        completed = subprocess.run([light, "-I", "-c", program], capture_output=True, text=True)
        assert completed.returncode == 0, completed.stderr
        runs.append(json.loads(completed.stdout))
    assert ".venv/light" in runs[0]["where"]
    assert min(run["seconds"] for run in runs) < 1.0, runs


def test_serve_without_the_server_package_says_what_to_install(light):
    completed = subprocess.run([light.parent / "identity-reward", "score", "--local", "--reference", "a.jpg", "b.mp4"],
                          capture_output=True, text=True)  # fmt: skip
    assert completed.returncode != 0
    assert "Traceback" not in completed.stderr
    assert "identity-reward[" in completed.stderr, completed.stderr
