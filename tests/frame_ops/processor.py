"""Many random clips through transformers' own processor and through frame_ops, in a process that has torchvision:

python -m tests.frame_ops.processor CLIPS.npz OUT.npz     the processor's patches and torchvision's float resize
python -m tests.frame_ops.processor --property EXAMPLES   hypothesis: the plain op and the CPU path equal it
"""

import sys

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_ops.resize_normalize_patchify import naive
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import smart_resize
from tests.support.anchors import use_torchvision

use_torchvision()
from torchvision.transforms.functional import InterpolationMode, resize  # noqa: E402
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor  # noqa: E402

CAPS = {"shortest_edge": 3136, "longest_edge": 399_360}
PROCESSOR = Qwen2VLVideoProcessor(size=CAPS, do_sample_frames=False)


def processed(frames: np.ndarray) -> dict:
    return PROCESSOR(videos=[frames], return_tensors="pt")


def write(clips_path: str, out_path: str) -> None:
    clips, out = np.load(clips_path), {}
    for name in clips.files:
        batch = processed(clips[name])
        out[name], out[name + ".grid"] = batch["pixel_values_videos"].numpy(), batch["video_grid_thw"].numpy()
        h, w = (int(x) * 14 for x in batch["video_grid_thw"][0, 1:])
        tchw = torch.from_numpy(clips[name]).permute(0, 3, 1, 2)
        out[name + ".float"] = resize(tchw, [h, w], InterpolationMode.BICUBIC, antialias=True).permute(0, 2, 3, 1)
    np.savez(out_path, **out)


@given(
    st.integers(1, 5), st.integers(14, 260), st.integers(14, 260), st.integers(0, 2**32 - 1),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)  # fmt: skip
def equal(t, h, w, seed, dtype):
    frames = np.random.default_rng(seed).integers(0, 256, (t, h, w, 3), dtype=np.uint8)
    size = smart_resize(h, w, CAPS["shortest_edge"], CAPS["longest_edge"])
    expected = processed(frames)["pixel_values_videos"].to(dtype)
    plain = naive.resize_normalize_patchify(torch.from_numpy(frames), *size, dtype=dtype)
    assert torch.equal(plain, expected), "the plain op differs"
    assert torch.equal(resize_normalize_patchify([torch.from_numpy(frames)], [size], dtype=dtype), expected)


if __name__ == "__main__":
    if sys.argv[1] == "--property":
        settings(max_examples=int(sys.argv[2]), deadline=None, database=None)(equal)()
    else:
        write(*sys.argv[1:])
