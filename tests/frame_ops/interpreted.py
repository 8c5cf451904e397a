"""The kernel under Triton's interpreter against the plain op, in a process of its own:

    TRITON_INTERPRET=1 FRAME_OPS_BACKEND=triton python -m tests.frame_ops.interpreted OUT PART PARTS

The interpreter takes about 60 ms per program of little work, so most cases run in large tiles. Writes how each
case of every PARTS-th went; test_launch.py reads that.
"""

import json
import sys
import traceback
from time import perf_counter

import numpy as np
import torch
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from frame_ops.plan import Tile
from frame_ops.resize_normalize_patchify import launch, naive
from frame_ops.resize_normalize_patchify.launch import Variant
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from tests.frame_ops.clips import noise

LARGE = Variant(Tile(128, 128, 128, 128, 4))
# few outputs of many inputs
FAR = Variant(Tile(32, 256, 32, 256, 2))
SMALL = Variant(Tile(32, 64, 32, 64, 4))
SHORT = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def integers_through_blas() -> None:
    """Speeds up integer products of the interpreter, which numpy computes by plain loops.

    float64 holds every sum of these products exactly (under 2^53) and has a fast product.
    """
    original = InterpreterBuilder.create_dot

    def create_dot(self, a, b, d, *rest):
        if d.data.dtype != np.int32:
            return original(self, a, b, d, *rest)
        product = a.data.astype(np.float64) @ b.data.astype(np.float64)
        return TensorHandle(product.astype(np.int64).astype(np.int32) + d.data, d.dtype.scalar)

    InterpreterBuilder.create_dot = create_dot


def smooth(t: int, h: int, w: int) -> torch.Tensor:
    """Two slow waves with a little noise, which is more like an image than noise."""
    y, x, frame = (torch.arange(n, dtype=torch.float32) for n in (h, w, t))
    wave = torch.sin(y[:, None] / 17) + torch.cos(x[None] / 23 + frame[:, None, None])
    return (wave[..., None] * 50 + 120 + noise(t, h, w, 3) / 32).to(torch.uint8)


def mixed() -> list[tuple[torch.Tensor, tuple[int, int]]]:
    """Every kind of clip at once."""
    return [
        (noise(3, 60, 50, 3), (84, 56)),
        (noise(2, 3, 60, 50).permute(0, 2, 3, 1), (56, 56)),
        (noise(7, 90, 150, 3)[1::2, 11:41, 40:60], (28, 28)),
        (noise(4, 56, 28, 3), (56, 28)),
        (noise(1, 110, 120, 3), (84, 84)),
        (noise(2, 84, 60, 3), (84, 56)),
        (noise(2, 40, 30, 1).expand(-1, -1, -1, 3), (56, 28)),
        (noise(5, 3, 5, 3), (28, 28)),
    ]


# name -> (semantics, dtype, variant, clips with their sizes)
CASES = {
    "up, THWC, odd T": ("u8", "fp32", LARGE, lambda: [(noise(3, 240, 416, 3), (252, 420))]),
    "up, TCHW": ("u8", "fp32", LARGE, lambda: [(noise(2, 3, 240, 416).permute(0, 2, 3, 1), (252, 420))]),
    "a trainer's slice": ("u8", "bf16", LARGE, lambda: [(noise(7, 300, 500, 3)[1::2, 11:251, 40:456], (252, 420))]),
    "no resize": ("u8", "fp32", LARGE, lambda: [(noise(3, 252, 420, 3), (252, 420))]),
    "no resize, TCHW slice": (
        "u8",
        "fp16",
        LARGE,
        lambda: [(noise(3, 3, 90, 90)[..., 3:87].permute(0, 2, 3, 1)[:, :56], (56, 84))],
    ),
    "down": ("u8", "fp32", LARGE, lambda: [(noise(1, 180, 320, 3), (112, 196))]),
    "one frame": ("u8", "fp32", LARGE, lambda: [(noise(1, 100, 300, 3), (112, 308))]),
    "one axis": ("u8", "fp32", LARGE, lambda: [(noise(2, 84, 100, 3), (84, 112)), (noise(2, 100, 84, 3), (112, 84))]),
    "tiny": ("u8", "fp32", LARGE, lambda: [(noise(2, 1, 1, 3), (28, 28)), (noise(1, 2, 7, 3), (56, 56))]),
    "long and thin": (
        "u8",
        "bf16",
        LARGE,
        lambda: [(noise(1, 5, 840, 3), (28, 840)), (noise(1, 800, 10, 3), (784, 28))],
    ),
    "far down": ("u8", "fp32", FAR, lambda: [(noise(1, 500, 700, 3), (28, 56)), (noise(1, 28, 2000, 3), (28, 28))]),
    "far down, pillow": ("pillow", "bf16", FAR, lambda: [(noise(1, 500, 900, 3), (28, 56))]),
    "float, far down": ("float", "fp32", FAR, lambda: [(smooth(1, 500, 900), (28, 56))]),
    "frames of a GRPO clip": ("u8", "bf16", LARGE, lambda: [(noise(5, 240, 416, 3), (252, 420))]),
    "34 clips": ("u8", "fp32", SMALL, lambda: [(noise(1, 20 + i, 24, 3, seed=i), (28, 28)) for i in range(34)]),
    "default tiles": (
        "u8",
        "bf16",
        launch.VARIANT,
        lambda: [(noise(1, 60, 70, 3), (56, 84)), (noise(1, 120, 70, 3), (28, 28))],
    ),
    "default tiles of float": ("float", "fp32", launch.FLOAT_VARIANT, lambda: [(noise(1, 50, 40, 3), (56, 28))]),
    "float16 units": ("u8", "bf16", Variant(LARGE.tile, unit="float16"), mixed),
    "three bytes by float16 units": ("pillow", "fp32", Variant(LARGE.tile, unit="float16"), mixed),
    "prefetch": ("u8", "fp32", Variant(LARGE.tile, prefetch=True), lambda: [(noise(3, 60, 50, 3), (84, 56))]),
    "float, up": ("float", "fp32", LARGE, lambda: [(smooth(8, 240, 416), (252, 420))]),
    "float, down": ("float", "fp32", LARGE, lambda: [(smooth(1, 360, 640), (224, 420))]),
    **{
        f"mixed batch, {semantics} {dtype}": (semantics, dtype, LARGE, mixed)
        for semantics, dtype in (("u8", "fp32"), ("u8", "fp16"), ("u8", "bf16"), ("pillow", "fp32"), ("float", "bf16"))
    },
}


def run(semantics: str, dtype: str, variant: Variant, make) -> dict:
    clips, sizes = zip(*make(), strict=True)
    parts = [naive.resize_normalize_patchify(c, *size, semantics) for c, size in zip(clips, sizes, strict=True)]
    expected = torch.cat(parts).to(SHORT[dtype])
    out = torch.full((len(expected) + 2, 1176), float("nan"), dtype=SHORT[dtype])
    launch.VARIANT = launch.FLOAT_VARIANT = variant
    patches = resize_normalize_patchify(clips, sizes, semantics, SHORT[dtype], out)
    levels = (patches.float() - expected.float()).abs().view(-1, 3, 392) * torch.tensor(naive.STD).view(3, 1) * 255
    return {
        "equal": torch.equal(patches, expected),
        "written": bool(patches.isfinite().all()) and patches.data_ptr() == out.data_ptr(),
        "untouched_below": bool(out[-2:].isnan().all()),
        "share_that_differs": (patches != expected).float().mean().item(),
        "levels": levels.max().item(),
    }


def main() -> None:
    integers_through_blas()
    results = {}
    part, parts = map(int, sys.argv[2:])
    for name, case in list(CASES.items())[part::parts]:
        begin = perf_counter()
        try:
            results[name] = run(*case)
        except Exception:
            results[name] = {"error": traceback.format_exc()}
        print(f"{perf_counter() - begin:6.1f} s  {name}", flush=True)
    with open(sys.argv[1], "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
