"""Causal attention of a packed batch: every class of equally long sequences in one call on the CPU, all sequences in
one variable-length call on CUDA."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import torch
from torch import nn

from .plan import AttentionClass


class PackedAttention(Protocol):
    """query [rows, heads, d]; key, value: the key table [table rows, kv heads, d] -> [rows, heads, d]."""

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor: ...


# a handful of queries takes another path on the CPU, whose rounding depends on the batch
CPU_QUERIES = 16


@lru_cache(maxsize=64)
def _lower_right(num_queries: int, num_keys: int, device: torch.device) -> torch.Tensor:
    """True where a query may look: query i of n stands at key position num_keys - n + i. On the CPU the last row is
    repeated up to CPU_QUERIES."""
    mask = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(num_keys - num_queries)
    return _at_least(mask, 0)


def _at_least(queries: torch.Tensor, dim: int) -> torch.Tensor:
    missing = CPU_QUERIES - queries.shape[dim]
    if missing <= 0 or queries.device.type != "cpu":
        return queries
    last = queries.narrow(dim, queries.shape[dim] - 1, 1)
    return torch.cat([queries, last.expand(*queries.shape[:dim], missing, *queries.shape[dim + 1 :])], dim)


class SdpaAttention:
    """torch's scaled_dot_product_attention, a call for every class. Works everywhere."""

    def __init__(self, classes: Sequence[AttentionClass], device: torch.device):
        self.device = device
        self.classes = [(c, torch.from_numpy(c.keys_index).to(device)) for c in classes]

    def __call__(self, query, key, value):
        out = torch.zeros_like(query)
        for c, index in self.classes:
            rows = slice(c.start, c.start + c.count * c.num_queries)
            q = _at_least(query[rows].view(c.count, c.num_queries, *query.shape[1:]), 1).transpose(1, 2)
            k, v = (table[index].transpose(1, 2) for table in (key, value))
            mask = None if c.num_queries == 1 else _lower_right(c.num_queries, c.num_keys, self.device)
            attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
            attended = attended[:, :, : c.num_queries]
            out[rows].view(c.count, c.num_queries, *query.shape[1:]).copy_(attended.transpose(1, 2))
        return out


class VarlenAttention:
    """torch's varlen_attn on CUDA: one call for all sequences, keys gathered so that each follows its prefix."""

    def __init__(self, classes: Sequence[AttentionClass], device: torch.device, deterministic: bool):
        queries = np.concatenate([np.full(c.count, c.num_queries) for c in classes])
        keys = np.concatenate([np.full(c.count, c.num_keys) for c in classes])
        self.num_rows = int(queries.sum())
        host = np.concatenate([np.zeros(1), queries.cumsum(), np.zeros(1), keys.cumsum()]).astype(np.int32)
        ends = torch.from_numpy(host).pin_memory().to(device, non_blocking=True)
        self.cu_queries, self.cu_keys = ends[: len(queries) + 1], ends[len(queries) + 1 :]
        index = np.concatenate([c.keys_index.ravel() for c in classes])
        self.index = torch.from_numpy(index).pin_memory().to(device, non_blocking=True)
        self.max_queries, self.max_keys = int(queries.max()), int(keys.max())
        self.options = _varlen_options(deterministic)

    def __call__(self, query, key, value):
        from torch.nn.attention.varlen import varlen_attn

        rows = self.num_rows
        if "enable_gqa" not in self.options:
            repeats = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        attended = varlen_attn(
            query[:rows], key[self.index], value[self.index], self.cu_queries, self.cu_keys, self.max_queries,
            self.max_keys, **self.options,
        )  # fmt: skip
        return attended if rows == query.shape[0] else torch.cat([attended, query.new_zeros(query[rows:].shape)])


@lru_cache(maxsize=2)
def _varlen_options(deterministic: bool) -> dict:
    """How this torch spells causal attention, grouped keys and one split: 2.11 and 2.13 differ."""
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    options: dict = {"is_causal": True} if "is_causal" in known else {"window_size": (-1, 0)}
    if "enable_gqa" in known:
        options["enable_gqa"] = True
    if deterministic and "num_splits" in known:
        options["num_splits"] = 1
    return options


def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    return find_spec("torch.nn.attention.varlen") is not None


def packed_attention(
    classes: Sequence[AttentionClass], device: torch.device, dtype: torch.dtype, deterministic: bool
) -> PackedAttention:
    if has_varlen(device, dtype):
        return VarlenAttention(classes, device, deterministic)
    return SdpaAttention(classes, device)
