"""Row-wise operations whose result for a row depends neither on the number of rows nor on the row's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

# with fewer rows, CPU matrix products take other code paths, with other rounding
CPU_MULTIPLE = 16


@dataclass(frozen=True)
class Rows:
    """The numbers of rows that matrix products get: a multiple of `multiple`, and `chunk` at a time where that is set.

    On CUDA the library chooses a kernel by shape; with one fixed shape for every product it is always the same kernel.
    """

    multiple: int = 1
    chunk: int | None = None

    def padded(self, num_rows: int) -> int:
        """The next multiple."""
        return num_rows + -num_rows % self.multiple

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """[n, ...] -> [n', ...], n' the next multiple, with zeros past n; no copy where n is a multiple."""
        missing = self.padded(rows.shape[0]) - rows.shape[0]
        return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """x [n, in] -> [n, out]; n must be a multiple."""
        if self.chunk is None or x.shape[0] == self.chunk:
            return nn.functional.linear(x, weight, bias)
        return torch.cat([nn.functional.linear(part, weight, bias) for part in x.split(self.chunk)])


def send(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copies an array to the device without synchronisation."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def rows_for(device: torch.device, deterministic_rows: int | None) -> Rows:
    """The rule of a device; `deterministic_rows` is the fixed number of rows on CUDA, or None."""
    if device.type == "cpu":
        return Rows(CPU_MULTIPLE)
    return Rows(deterministic_rows, deterministic_rows) if deterministic_rows else Rows()


def silu_times(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up.

    On the CPU, torch's vectorised SiLU rounds a row's last columns differently unless 64 divides the width.
    """
    if gate.device.type == "cpu" and gate.shape[-1] % 64:
        return gate / (1 + torch.exp(-gate)) * up
    return nn.functional.silu(gate).mul_(up)


def rms_norm(norm: Any, x: torch.Tensor) -> torch.Tensor:
    """transformers' RMSNorm module, as one kernel on CUDA."""
    if x.is_cuda:
        return nn.functional.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)
    return norm(x)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding. x: [n, heads, d]; cos, sin: broadcastable to it, with equal halves in the last axis."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half] -= x[..., half:] * sin[..., :half]
    out[..., half:] += x[..., :half] * sin[..., half:]
    return out
