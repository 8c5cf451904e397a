"""The committed generated code is that of the .proto."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "clients"
FOLDER = "identity_reward_client/proto"
NAMES = ("identity_reward_pb2.py", "identity_reward_pb2.pyi", "identity_reward_pb2_grpc.py")


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("proto")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "."]
    command += [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "pyi")]
    result = subprocess.run([*command, f"{FOLDER}/identity_reward.proto"], cwd=SOURCE, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return out / FOLDER


@pytest.mark.parametrize("name", NAMES)
def test_generated_code_is_current(generated, name):
    assert (SOURCE / FOLDER / name).read_text() == (generated / name).read_text(), "run: make proto"


def test_nothing_else_is_generated(generated):
    assert {path.name for path in generated.iterdir()} == set(NAMES)
