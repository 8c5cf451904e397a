"""Inference sessions of face networks in onnxruntime, on the CPU or on a CUDA device."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import onnx
import onnxruntime

from .graphs import replace_prelu

log = logging.getLogger("identity_reward")

CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


def face_device(device: str) -> str:
    """Where face networks run for a model on `device`: `device` itself, or "cpu" where onnxruntime has no CUDA.

    The latter is logged, once for each device.
    """
    if device == "cpu" or CUDA in onnxruntime.get_available_providers():
        return device
    _log_fallback(device)
    return "cpu"


@cache
def _log_fallback(device: str) -> None:
    log.warning(
        "faces are computed on the CPU, not on %s: onnxruntime has no working CUDA provider here "
        "(the package onnxruntime-gpu has one)",
        device,
    )


def make_session(proto: onnx.ModelProto, device: str = "cpu", any_size: bool = False) -> onnxruntime.InferenceSession:
    """A session that may be run from several threads at once, on a device that `face_device` returned.

    One run uses one thread of the CPU: callers run several images at once, which scales better and keeps the result
    of a run independent of the number of cores. `any_size`: inputs differ in shape from run to run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # a user's quantized network is computed in float, as it was trained
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # plans of memory are made for one shape of the input and kept for each
    options.enable_mem_pattern = not any_size
    providers: list[Any] = [_CPU]
    if device == "cpu":
        replace_prelu(proto)
    else:
        # without TF32, and with the default algorithm instead of the fastest of a measurement: results repeat
        index = device.partition(":")[2] or "0"
        cuda = {"device_id": index, "use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
        providers.insert(0, (CUDA, cuda))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=providers)
    if device != "cpu" and not uses_cuda(session):
        _log_fallback(device)
    return session


def uses_cuda(session: onnxruntime.InferenceSession) -> bool:
    """False also where onnxruntime has a CUDA provider that cannot load its libraries."""
    return CUDA in session.get_providers()
