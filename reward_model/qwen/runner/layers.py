"""Matrix products of one layer on the modules of transformers, fused into larger ones where that is faster."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .rows import Rows, silu_times


class FusedLinear:
    """Several linear modules on the same rows, computed as one product where `fuse` is set.

    Each module's weight becomes a view of the fused one, so that no weight is stored twice.
    """

    def __init__(self, modules: list[Any], rows: Rows, fuse: bool) -> None:
        self.modules, self.rows = modules, rows
        self.sizes = [module.out_features for module in modules]
        self.weight = self.bias = None
        if not fuse:
            return
        self.weight = torch.cat([module.weight for module in modules])
        if modules[0].bias is not None:
            self.bias = torch.cat([module.bias for module in modules])
        for module, part in zip(modules, self.weight.split(self.sizes), strict=True):
            module.weight = nn.Parameter(part, requires_grad=False)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """x [n, in] -> the output [n, out] of each module."""
        if self.weight is not None:
            return self.rows.linear(x, self.weight, self.bias).split(self.sizes, dim=-1)
        return tuple(self.rows.linear(x, module.weight, module.bias) for module in self.modules)


class GatedMlp:
    """down(silu(gate(x)) * up(x)): the feed-forward part of the vision tower and of the language model."""

    def __init__(self, module: Any, rows: Rows, fuse: bool) -> None:
        self.down, self.rows = module.down_proj, rows
        self.gate_up = FusedLinear([module.gate_proj, module.up_proj], rows, fuse)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x [n, width] -> [n, width]."""
        return self.rows.linear(silu_times(*self.gate_up(x)), self.down.weight, self.down.bias)


class DecoderLayer:
    """The modules of one language model layer."""

    def __init__(self, module: Any, rows: Rows, fuse: bool) -> None:
        attention = module.self_attn
        self.rows = rows
        self.input_norm, self.mlp_norm = module.input_layernorm, module.post_attention_layernorm
        self.qkv = FusedLinear([attention.q_proj, attention.k_proj, attention.v_proj], rows, fuse)
        self.query, self.key, self.value, self.out = (
            attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj,
        )  # fmt: skip
        self.mlp = GatedMlp(module.mlp, rows, fuse)

    def linear(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        """One linear module alone."""
        return self.rows.linear(x, module.weight, module.bias)
