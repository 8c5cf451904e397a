"""The plain op against its anchors: transformers' own processor, Pillow, and the definition of the patch order."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frame_ops.resize_normalize_patchify.naive import (
    MEAN,
    STD,
    normalization_table,
    patchify,
    resize_normalize_patchify,
)
from frame_ops.resize_normalize_patchify.resize import resize
from frame_ops.resize_normalize_patchify.smart_resize import grid_thw, smart_resize
from tests.frame_ops.clips import noise
from tests.support.anchors import INSTALL, torchvision_found

ROOT = Path(__file__).parents[3]
SIZES = [(3, 240, 416), (2, 480, 832), (1, 252, 420), (4, 60, 100), (1, 720, 1280), (2, 333, 97)]


def in_own_process(*arguments):
    """torchvision is imported in no process that tests anything else."""
    if not torchvision_found():
        message = f"torchvision, the anchor of these pixels, is not here; {INSTALL}"
        assert not os.environ.get("CI"), message
        pytest.skip(message)
    command = [sys.executable, "-m", "tests.frame_ops.processor", *map(str, arguments)]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anchor")
    np.savez(folder / "clips.npz", **{f"{t}x{h}x{w}": noise(t, h, w, 3).numpy() for t, h, w in SIZES})
    in_own_process(folder / "clips.npz", folder / "out.npz")
    return np.load(folder / "out.npz")


def test_any_clip_is_bit_equal_to_the_processor_of_transformers_in_every_dtype():
    in_own_process("--property", 20)


@pytest.mark.parametrize("size", SIZES)
def test_bit_equal_to_the_processor_of_transformers(processor, size):
    name = "{}x{}x{}".format(*size)
    resized = smart_resize(*size[1:], 3136, 399360)
    rows = resize_normalize_patchify(noise(*size, 3), *resized)
    assert processor[name + ".grid"].tolist() == [list(grid_thw(size[0], *resized))]
    assert np.array_equal(rows.numpy(), processor[name])


@pytest.mark.parametrize("size", SIZES)
def test_float_semantics_equal_torchvision(processor, size):
    resized = smart_resize(*size[1:], 3136, 399360)
    resized_frames = resize(noise(*size, 3), *resized, "float").numpy()
    assert np.array_equal(resized_frames, processor["{}x{}x{}.float".format(*size)])


@pytest.mark.parametrize(
    ("size", "resized", "sha256"),
    [
        ((480, 832), (476, 840), "3a5a84a3d19b4fbd"),
        ((240, 416), (252, 420), "c3a5056b172c1350"),
        ((1024, 1024), (616, 616), "1bfc55d167b0c403"),
        ((90, 60), (28, 84), "88ef82b8e2f47793"),
        ((300, 400), (532, 728), "8c43bc0a45e359a3"),
    ],
)
def test_pillow_semantics_give_the_bytes_of_pillow_10_4(size, resized, sha256):
    """Hashes made with Pillow 10.4.0. Newer releases go vertically first for some sizes; along one axis all agree."""
    frame = noise(1, *size, 3)
    resized_frames = resize(frame, *resized, "pillow")[0].numpy()
    assert hashlib.sha256(resized_frames.tobytes()).hexdigest()[:16] == sha256
    wide = Image.fromarray(frame[0].numpy()).resize((resized[1], size[0]), Image.Resampling.BICUBIC)
    assert np.array_equal(resized_frames, np.asarray(wide.resize(resized[::-1], Image.Resampling.BICUBIC)))


def test_normalization_is_bit_equal_to_clips():
    exact = (np.arange(256)[None] / 255 - np.array(MEAN)[:, None]) / np.array(STD)[:, None]
    assert np.abs(normalization_table().numpy() - exact).max() < 4e-7
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(normalization_table(dtype), normalization_table().to(dtype))


def test_patches_are_in_the_defined_order():
    t, h, w = 3, 56, 84
    frames = noise(t, h, w, 3)
    rows = patchify(frames)
    assert rows.shape == (2 * 4 * 6, 1176)
    g = np.random.default_rng(1)
    for _ in range(200):
        pair, by, bx = g.integers(2), g.integers(4), g.integers(6)
        c, tt, py, px = g.integers(3), g.integers(2), g.integers(14), g.integers(14)
        row = ((pair * 2 + by // 2) * 3 + bx // 2) * 4 + (by % 2) * 2 + bx % 2
        column = c * 392 + tt * 196 + py * 14 + px
        assert rows[row, column] == frames[min(2 * pair + tt, t - 1), by * 14 + py, bx * 14 + px, c]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_is_the_rounded_float32(dtype):
    frames = noise(2, 100, 60, 3)
    exact = resize_normalize_patchify(frames, 112, 56)
    assert torch.equal(resize_normalize_patchify(frames, 112, 56, dtype=dtype), exact.to(dtype))


def test_strided_views_give_the_same_rows():
    tchw = noise(4, 60, 100, 3).permute(0, 3, 1, 2).contiguous()
    view = tchw.permute(0, 2, 3, 1)
    assert torch.equal(resize_normalize_patchify(view, 56, 112), resize_normalize_patchify(view.contiguous(), 56, 112))


@pytest.mark.parametrize(
    ("frames", "size", "semantics", "message"),
    [
        (torch.zeros(2, 56, 56, 3), (56, 56), "u8", "uint8"),
        (torch.zeros(2, 3, 56, 56, dtype=torch.uint8), (56, 56), "u8", r"\[T, H, W, 3\]"),
        (torch.zeros(0, 56, 56, 3, dtype=torch.uint8), (56, 56), "u8", "T >= 1"),
        (torch.zeros(2, 56, 56, 3, dtype=torch.uint8), (50, 56), "u8", "multiples of 28"),
        (torch.zeros(2, 56, 56, 3, dtype=torch.uint8), (84, 56), "lanczos", "u8, pillow, float"),
    ],
)
def test_error_names_the_wrong_input(frames, size, semantics, message):
    with pytest.raises(ValueError, match=message):
        resize_normalize_patchify(frames, *size, semantics)
