import pytest
import torch

from frame_ops.device import backend
from frame_ops.resize_normalize_patchify import naive
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify


def test_backend_is_chosen_by_the_environment(monkeypatch):
    clip = torch.randint(0, 256, (3, 60, 50, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    size = (56, 56)
    expected = naive.resize_normalize_patchify(clip, *size)
    for choice in ("auto", "naive"):
        monkeypatch.setenv("FRAME_OPS_BACKEND", choice)
        assert torch.equal(resize_normalize_patchify([clip], [size]), expected)
    monkeypatch.setenv("FRAME_OPS_BACKEND", "cuda")
    with pytest.raises(RuntimeError, match="FRAME_OPS_BACKEND is one of auto, triton, naive, got 'cuda'"):
        resize_normalize_patchify([clip], [size])
    monkeypatch.setenv("FRAME_OPS_BACKEND", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match="needs TRITON_INTERPRET=1"):
        resize_normalize_patchify([clip], [size])
    monkeypatch.setenv("FRAME_OPS_BACKEND", "auto")
    with pytest.raises(RuntimeError, match="on a CUDA device or on the CPU, got meta"):
        resize_normalize_patchify([clip.to("meta")], [size])


def test_default_is_the_kernel_on_cuda_and_torch_on_the_cpu(monkeypatch):
    monkeypatch.delenv("FRAME_OPS_BACKEND", raising=False)
    assert backend(torch.device("cpu")) == "cpu"
