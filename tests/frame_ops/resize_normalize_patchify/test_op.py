"""The public op: the CPU path against the plain op, the choice of the backend, and errors of wrong arguments."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_ops.resize_normalize_patchify import cpu, naive
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import grid_thw
from tests.frame_ops.clips import noise

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 120), st.integers(1, 120)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=4, max_size=4),
    st.sampled_from(["u8", "pillow", "float"]),
    st.sampled_from(DTYPES),
    st.sampled_from(["THWC", "TCHW", "slice"]),
)
def test_cpu_path_is_bit_equal_to_the_plain_op(shapes, grids, semantics, dtype, layout):
    clips = []
    for t, h, w in shapes:
        if layout == "THWC":
            clips.append(noise(t, h, w, 3))
        elif layout == "TCHW":
            clips.append(noise(t, 3, h, w).permute(0, 2, 3, 1))
        else:
            clips.append(noise(2 * t + 1, h + 7, w + 5, 4)[1::2, 3 : 3 + h, 2 : 2 + w, :3])
    sizes = [(28 * a, 28 * b) for a, b in grids[: len(clips)]]
    expected = torch.cat(
        [naive.resize_normalize_patchify(c, *s, semantics, dtype) for c, s in zip(clips, sizes, strict=True)]
    )
    out = torch.full((len(expected) + 1, 1176), float("nan"), dtype=dtype)
    got = resize_normalize_patchify(clips, sizes, semantics, dtype, out)
    assert torch.equal(got, expected)
    assert got.data_ptr() == out.data_ptr()
    assert out[-1].isnan().all()


def test_number_of_rows_is_that_of_the_grids():
    clips, sizes = [noise(3, 40, 40, 3), noise(1, 90, 30, 3)], [(56, 56), (84, 28)]
    rows = [np.prod(grid_thw(len(c), *s)) for c, s in zip(clips, sizes, strict=True)]
    patches = resize_normalize_patchify(clips, sizes)
    assert len(patches) == sum(rows)
    for part, clip, size in zip(patches.split([int(n) for n in rows]), clips, sizes, strict=True):
        assert torch.equal(part, resize_normalize_patchify([clip], [size]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_results_lie_in_mapped_memory_that_outlives_the_call(dtype, monkeypatch):
    monkeypatch.setattr(cpu, "HUGE_BYTES", 1 << 20)
    clip = noise(8, 300, 300, 3)
    patches = resize_normalize_patchify([clip], [(308, 308)], dtype=dtype)
    assert patches.nbytes > 1 << 20
    last = patches[-5:]
    expected = naive.resize_normalize_patchify(clip, 308, 308, dtype=dtype)
    assert torch.equal(patches, expected)
    del patches
    assert torch.equal(last, expected[-5:])


U8 = torch.zeros(2, 56, 56, 3, dtype=torch.uint8)
FAR = torch.empty_strided((1, 2, 1, 3), (1, 1 << 31, 1, 1), dtype=torch.uint8, device="meta")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([U8.numpy()], [(56, 56)]), TypeError, r"clip 0: frames are a torch tensor, got ndarray; torch.from_numpy"),
        (([U8, U8.float()], [(56, 56)] * 2), TypeError, "clip 1: frames are uint8 in 0..255, got torch.float32"),
        (([U8.permute(0, 3, 1, 2)], [(56, 56)]), ValueError, r"clip 0: .*\[2, 3, 56, 56\]; permute\(0, 2, 3, 1\)"),
        (([U8[0]], [(56, 56)]), ValueError, r"clip 0: frames are \[T, H, W, 3\].*got \[56, 56, 3\]"),
        (([U8[:0]], [(56, 56)]), ValueError, r"no empty side, got \[0, 56, 56, 3\]"),
        (([U8], [(50, 56)]), ValueError, "clip 0: sizes are positive multiples of 28, got 50x56; see smart_resize"),
        (([U8], [(0, 56)]), ValueError, "positive multiples of 28, got 0x56"),
        (([U8], [(56, 56)] * 2), ValueError, "1 clips, 2 sizes"),
        ((U8, [(56, 56)]), ValueError, r"wrap a single clip as \[clip\]"),
        (([], []), ValueError, "at least one"),
        (([U8], [(56, 56)], "lanczos"), ValueError, "u8, pillow, float, got 'lanczos'"),
        (([U8], [(56, 56)], "u8", torch.float64), ValueError, "float32, float16 or bfloat16, got torch.float64"),
        (([U8, U8.to("meta")], [(56, 56)] * 2), ValueError, "clip 1 is on meta, clip 0 on cpu: one call, one device"),
        (([FAR], [(28, 28)]), ValueError, "over 2 GiB"),
        (([U8], [(56, 56)], "u8", torch.float32, torch.empty(15, 1176)), ValueError, "15 rows, these clips need 16"),
        (([U8], [(56, 56)], "u8", torch.float16, torch.empty(16, 1176)), ValueError, "out is contiguous torch.float16"),
        (([U8], [(56, 56)], "u8", torch.float32, torch.empty(16, 2352)[:, ::2]), ValueError, "not contiguous"),
    ],
)  # fmt: skip
def test_error_names_the_wrong_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        resize_normalize_patchify(*arguments)


WITHOUT_TRITON = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import torch
import frame_ops.plan, frame_ops.device
from frame_ops.resize_normalize_patchify import op, cpu, naive, resize, smart_resize
patches = op.resize_normalize_patchify([torch.zeros(2, 60, 60, 3, dtype=torch.uint8)], [(56, 56)])
assert patches.shape == (16, 1176) and "triton" not in sys.modules
import reward_model.qwen.preprocess, reward_model.qwen.patches
try:
    import triton
except ModuleNotFoundError:
    print("works without")
"""


def test_everything_but_the_kernel_runs_without_triton():
    environment = {k: v for k, v in os.environ.items() if k not in ("FRAME_OPS_BACKEND", "TRITON_INTERPRET")}
    completed = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], env=environment, capture_output=True, text=True)
    assert completed.stdout.strip() == "works without", completed.stderr
