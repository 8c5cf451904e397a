"""The kernel compiles for three generations of GPUs by Triton's own compiler, without spills; no GPU is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the kernel needs triton, which is for Linux")

ROOT = Path(__file__).parents[3]
# registers per thread: three blocks of 128 threads per multiprocessor for the usual clips, two where scales are extreme
MOST_REGISTERS, MOST_REGISTERS_CHUNKED = 168, 224
# what every one of these GPUs lets a block have
MOST_SHARED = 48 << 10


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("compile") / "resources.json"
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.gpu.resources", "--json", str(out)]
    completed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    print("\n" + completed.stdout)
    return json.loads(out.read_text())


@pytest.mark.parametrize("arch", [80, 90, 100])
def test_every_variant_of_the_op_fits_without_spills(table, arch):
    rows = [row for row in table if row["arch"] == arch]
    assert len({(row["semantics"], row["chunked"], row["dtype"]) for row in rows}) == 3 * 2 * 3
    for row in rows:
        assert row["stack_bytes"] == 0, f"spills: {row}"
        assert row["registers"] <= (MOST_REGISTERS_CHUNKED if row["chunked"] else MOST_REGISTERS), row
        assert row["shared_bytes"] <= MOST_SHARED, row


def test_integer_sums_use_the_matrix_units_and_stores_are_two_values_wide(table):
    for row in table:
        assert (row["matrix"] > 0) == (row["semantics"] != "float"), row
        assert row["wide_stores"] == row["stores"] > 0, row
