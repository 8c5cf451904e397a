"""The kernel under Triton's interpreter is bit-equal to the plain op; interpreted.py lists the cases."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = [
    "up, THWC, odd T", "up, TCHW", "a trainer's slice", "no resize", "no resize, TCHW slice", "down", "one frame",
    "one axis", "tiny", "long and thin", "far down", "frames of a GRPO clip", "34 clips", "default tiles",
    "default tiles of float", "float16 units", "three bytes by float16 units", "prefetch", "float, up", "float, down",
    "far down, pillow", "float, far down", "mixed batch, u8 fp32", "mixed batch, u8 fp16", "mixed batch, u8 bf16",
    "mixed batch, pillow fp32", "mixed batch, float bf16",
]  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder, cases = tmp_path_factory.mktemp("interpreter"), {}
    env = os.environ | {"TRITON_INTERPRET": "1", "FRAME_OPS_BACKEND": "triton", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.frame_ops.interpreted"]
    halves = [subprocess.Popen([*command, str(folder / f"{n}.json"), str(n), "2"], cwd=ROOT, env=env) for n in (0, 1)]
    for n, half in enumerate(halves):
        assert half.wait() == 0
        cases |= json.loads((folder / f"{n}.json").read_text())
    return cases


@pytest.mark.parametrize("name", NAMES)
def test_kernel_is_bit_equal_to_the_plain_op(results, name):
    case = results[name]
    assert "error" not in case, case["error"]
    assert case["written"], "the kernel left values out"
    assert case["untouched_below"], "the kernel wrote past its rows"
    if "float" in name and "float16" not in name:
        # sums in another order: a byte may fall one level beside, where a sum is close to the middle of two.
        # A level is up to half a step of the lower precisions off.
        assert case["share_that_differs"] < 1e-3
        assert case["levels"] < (3 if "bf16" in name else 1.01)
    else:
        assert case["equal"]


def test_every_case_has_a_result(results):
    assert sorted(results) == sorted(NAMES)
