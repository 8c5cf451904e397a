"""The committed code is what the .proto says."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "clients"
FOLDER = "identity_reward_client/proto"
NAMES = ("identity_reward_pb2.py", "identity_reward_pb2.pyi", "identity_reward_pb2_grpc.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("proto")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "."]
    command += [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "pyi")]
    done = subprocess.run([*command, f"{FOLDER}/identity_reward.proto"], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / FOLDER


@pytest.mark.parametrize("name", NAMES)
def test_the_generated_code_is_current(made, name):
    assert (SOURCE / FOLDER / name).read_text() == (made / name).read_text(), "run: make proto"


def test_nothing_else_is_generated(made):
    assert {path.name for path in made.iterdir()} == set(NAMES)
