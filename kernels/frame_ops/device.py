"""Choice of the implementation; the only module of frame_ops that reads the environment.

FRAME_OPS_BACKEND
    auto    (default) the Triton kernel for frames on a CUDA device, torch on the CPU otherwise
    triton  the kernel, whatever the device; for frames on the CPU this needs Triton's interpreter (TRITON_INTERPRET=1)
    naive   the reference, on the CPU, whatever the device: slow, to investigate differences
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal

import torch

Backend = Literal["triton", "cpu", "naive"]
_CHOICES = ("auto", "triton", "naive")


def backend(device: torch.device) -> Backend:
    """The implementation for frames on `device`. RuntimeError where it cannot run; the message names one that can."""
    choice = os.environ.get("FRAME_OPS_BACKEND", "auto")
    if choice not in _CHOICES:
        raise RuntimeError(f"FRAME_OPS_BACKEND is one of {', '.join(_CHOICES)}, got {choice!r}")
    if choice == "naive":
        return "naive"
    if choice == "auto" and device.type == "cpu":
        return "cpu"
    if device.type not in ("cuda", "cpu"):
        raise RuntimeError(
            f"frames are on a CUDA device or on the CPU, got {device}; move them, or set FRAME_OPS_BACKEND=naive"
        )
    if find_spec("triton") is None:
        raise RuntimeError(f"frames on {device} need triton (pip install triton); FRAME_OPS_BACKEND=naive does without")
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError(
            "FRAME_OPS_BACKEND=triton with frames on the CPU needs TRITON_INTERPRET=1 in the environment"
        )
    return "triton"
