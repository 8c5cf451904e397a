"""Rewards do not depend on which implementation made the patches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the kernel needs triton, which is for Linux")

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def rewards(tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "rewards.json"
    env = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "tests.frame_ops.scored", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def test_the_examples_rewards_under_tiny_are_the_same_to_the_last_bit(rewards):
    ours = {name: found for name, found in rewards.items() if name.startswith("u8 ")}
    assert len(ours) == 9
    for name, found in ours.items():
        assert found["naive"] == found["triton"], name
        assert found["share_that_differs"] == 0
    assert len({found["naive"] for found in ours.values()}) == 9


def test_under_float_few_bytes_differ_and_scores_by_little(rewards):
    """docs/explanation/what-the-number-means.md and the README of kernels state these limits."""
    ours = {name: found for name, found in rewards.items() if name.startswith("float ")}
    assert len(ours) == 9
    for name, found in ours.items():
        assert found["share_that_differs"] < 1e-4, name
        assert abs(float.fromhex(found["naive"]) - float.fromhex(found["triton"])) < 1e-4, name
