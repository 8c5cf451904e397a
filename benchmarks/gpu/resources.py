"""Registers, stack, shared memory and instructions of the `resize_normalize_patchify` kernel; needs no GPU.

    python -m benchmarks.gpu.resources [--arch 80 90 100] [--json OUT]

The compiler in Triton's wheel compiles every variant that the op can choose (semantics, extreme scales or not, dtype).
The table lists registers and stack bytes per thread (a stack means spilled registers), shared memory per block, and the
number of matrix and store instructions. `tests/frame_ops/resize_normalize_patchify/test_kernel.py` checks their limits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from frame_ops.resize_normalize_patchify.kernel import resize_normalize_patchify_kernel
from frame_ops.resize_normalize_patchify.launch import FLOAT_VARIANT, VARIANT, Variant, register_limit

ARCHS = (80, 90, 100)
TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
# bytes of a weight -> semantics
LIMBS = {2: "u8", 3: "pillow", 0: "float"}
DTYPES = {"fp32": "*fp32", "fp16": "*fp16", "bf16": "*bf16"}


@dataclass(frozen=True)
class Resources:
    """What one compiled variant uses."""

    arch: int
    semantics: str
    chunked: bool
    dtype: str
    registers: int
    stack_bytes: int
    shared_bytes: int
    instructions: int
    matrix: int
    wide_stores: int
    stores: int


def choices() -> Iterator[tuple[int, bool, str]]:
    """All combinations of (bytes of a weight, chunked, dtype of the patches)."""
    return product(LIMBS, (False, True), DTYPES)


def measure_variant(arch: int, limbs: int, chunked: bool, dtype: str, variant: Variant | None = None) -> Resources:
    """Compile one combination; `variant` replaces the one that the op chooses."""
    variant = variant or (VARIANT if limbs else FLOAT_VARIANT)
    constants = {
        "LIMBS": limbs, "CHUNKED": chunked, "UNIT": variant.unit, "NORM": "divide" if dtype == "fp32" else "multiply",
        "PREFETCH": variant.prefetch, **{name.upper(): size for name, size in variant.tile._asdict().items()},
    }  # fmt: skip
    pointers = {"patches": DTYPES[dtype], "norm": "*fp32", "header": "*i64"}
    # allocations are aligned to 16 bytes
    aligned = {(index,): [["tt.divisibility", 16]] for index in range(len(pointers))}
    source = ASTSource(
        resize_normalize_patchify_kernel,
        pointers | {"clips": "i32"} | dict.fromkeys(constants, "constexpr"),
        constants,
        aligned,
    )
    options = {"num_warps": variant.warps, "maxnreg": register_limit(variant, chunked)}
    kernel = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    with TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        usage = _run("cuobjdump", "--dump-resource-usage", cubin)
        code = re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(.+?);?\s*$", _run("nvdisasm", "-c", cubin), re.MULTILINE)
    opcodes = [re.sub(r"^@!?U?P\w+\s+", "", line).split()[0] for line in code]
    stores = [opcode for opcode in opcodes if opcode.startswith("STG")]
    return Resources(
        arch, LIMBS[limbs], chunked, dtype, int(re.findall(r"REG:(\d+)", usage)[0]),
        sum(int(n) for n in re.findall(r"(?:STACK|LOCAL):(\d+)", usage)), kernel.metadata.shared, len(opcodes),
        sum(bool(re.match(r"(UTC)?[HI]?G?MMA", opcode)) for opcode in opcodes),
        sum(not re.search(r"\.[US](8|16)\b", opcode) for opcode in stores), len(stores),
    )  # fmt: skip


def _run(tool: str, *arguments: str | Path) -> str:
    return subprocess.run([TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", type=int, nargs="+", default=ARCHS)
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    results = []
    combinations = [(arch, *choice) for arch, choice in product(arguments.arch, choices())]
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(measure_variant, *choice) for choice in combinations]
    for (arch, limbs, chunked, dtype), future in zip(combinations, futures, strict=True):
        if error := future.exception():
            sys.exit(f"sm_{arch} {LIMBS[limbs]} chunked={chunked} {dtype}: {type(error).__name__}: {error}")
        results.append(r := future.result())
        print(
            f"sm_{r.arch:<4}{r.semantics:7}{'chunked' if r.chunked else '':8}{r.dtype:5}{r.registers:4} registers"
            f"{r.stack_bytes:5} B stack{r.shared_bytes:7} B shared{r.instructions:6} instructions"
            f"{r.matrix:4} matrix{r.wide_stores:4} of {r.stores} stores wide",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(r) for r in results]))


if __name__ == "__main__":
    main()
