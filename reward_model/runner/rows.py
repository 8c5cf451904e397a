"""Row-wise mathematics whose result for a row does not depend on how many other rows there are, or where it stands."""

from __future__ import annotations

import torch
from torch import nn

# CPU matrix products take other code paths, with other rounding, for a handful of rows
CPU_MULTIPLE = 16


def padded(num_rows: int, multiple: int) -> int:
    return -(-num_rows // multiple) * multiple


def pad_rows(rows: torch.Tensor, multiple: int) -> torch.Tensor:
    """[n, ...] -> [n', ...] with zero rows behind, n' the next multiple; no copy where n fits already."""
    missing = padded(rows.shape[0], multiple) - rows.shape[0]
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def silu(x: torch.Tensor) -> torch.Tensor:
    """On the CPU, the vectorised SiLU rounds differently in a row's last columns unless 64 divides the width."""
    if x.device.type == "cpu" and x.shape[-1] % 64:
        return x / (1 + torch.exp(-x))
    return nn.functional.silu(x)


def gated_mlp(mlp: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The gated MLP of either tower: down(silu(gate(x)) * up(x))."""
    return mlp.down_proj(silu(mlp.gate_proj(x)).mul_(mlp.up_proj(x)))


def rms_norm(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """transformers' RMSNorm module, fused where CUDA has it."""
    if x.is_cuda:
        return nn.functional.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)
    return norm(x)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding. x: [n, heads, d]; cos, sin: [n, 1, d] with equal halves."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin
