"""Time of converting frames to patches: `resize_normalize_patchify` against the Hugging Face video processor.

    python -m benchmarks.resize_normalize_patchify --json OUT [--only cpu|gpu] [--gpu-tune]

CPU rows: CPU time of one thread, semantics `u8`, at most 399,360 pixels per frame. The processor always returns
float32, so the bfloat16 rows have the same peer. GPU rows also compare with torch.compile; see
`benchmarks/gpu/patchify.py`.

Gate: the patches are bit-equal to the processor's, converted to the dtype of the row.
"""

from __future__ import annotations

import argparse
import os
from time import process_time

import numpy as np
import torch

from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import smart_resize
from tests.support.anchors import use_torchvision

from .gpu import patchify as gpu
from .support.harness import Row, gate, in_turn, main, row

MIN_PIXELS, MAX_PIXELS = 3136, 399_360
CLIPS = ((33, 240, 416), (10, 480, 832))
GOALS = {torch.float32: 2.2, torch.bfloat16: 3.0}


def hugging_face(**options):
    """The video processor of Qwen2-VL and Qwen2.5-VL in transformers, on torchvision."""
    use_torchvision()
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    return Qwen2VLVideoProcessor(do_sample_frames=False, **options)


def cpu_rows() -> list[Row]:
    """One row per clip shape and dtype."""
    torch.set_num_threads(1)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    processor = hugging_face(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    rows = []
    for shape in CLIPS:
        frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        size = smart_resize(*shape[1:], MIN_PIXELS, MAX_PIXELS)
        for dtype, goal in GOALS.items():

            def ours(frames=frames, size=size, dtype=dtype):
                return resize_normalize_patchify([torch.from_numpy(frames)], [size], dtype=dtype)

            def peer(frames=frames):
                return processor(videos=[frames], return_tensors="pt")["pixel_values_videos"]

            dtype_name = "fp32" if dtype == torch.float32 else "bf16"
            name = f"cpu {'x'.join(map(str, shape))} {dtype_name}"
            gate(torch.equal(ours(), peer().to(dtype)), f"{name}: patches differ from the Hugging Face processor's")
            times = in_turn(ours, peer, rounds=7, clock=process_time)
            rows.append(row(name, "ms", "Hugging Face, CPU", *times, scale=1e3, goal=goal))
    return rows


def measure(arguments: argparse.Namespace) -> list[Row]:
    rows = [] if arguments.only == "gpu" else cpu_rows()
    return rows if arguments.only == "cpu" else rows + gpu.rows(hugging_face, tune=arguments.gpu_tune)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("cpu", "gpu"))
    parser.add_argument("--gpu-tune", action="store_true", help="first time all variants of the kernel and report them")
    main("resize_normalize_patchify", measure, parser)
