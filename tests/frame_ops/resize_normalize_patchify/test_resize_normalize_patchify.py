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
    completed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    return json.loads(out.read_text())


def test_rewards_of_the_examples_under_tiny_are_bit_equal(rewards):
    rewards_of_examples = {name: pair for name, pair in rewards.items() if name.startswith("u8 ")}
    assert len(rewards_of_examples) == 10
    for name, pair in rewards_of_examples.items():
        assert pair["naive"] == pair["triton"], name
        assert pair["share_that_differs"] == 0
    assert len({pair["naive"] for pair in rewards_of_examples.values()}) == 10


def test_float_semantics_differ_in_few_bytes_and_little_in_scores(rewards):
    """docs/explanation/what-the-number-means.md and the README of kernels state these limits."""
    rewards_of_examples = {name: pair for name, pair in rewards.items() if name.startswith("float ")}
    assert len(rewards_of_examples) == 10
    for name, pair in rewards_of_examples.items():
        assert pair["share_that_differs"] < 1e-4, name
        assert abs(float.fromhex(pair["naive"]) - float.fromhex(pair["triton"])) < 1e-4, name
