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
from .rows import Rows, send
from .windows import Segments


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
        self.classes = [(c, send(c.keys_index, device)) for c in classes]

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
        self.ends = _ends(queries, device), _ends(keys, device)
        self.index = send(np.concatenate([c.keys_index.ravel() for c in classes]), device)
        self.longest = int(queries.max()), int(keys.max())
        self.deterministic = deterministic

    def __call__(self, query, key, value):
        key, value = key[self.index], value[self.index]
        attended = _varlen(query[: self.num_rows], key, value, self.ends, self.longest, True, self.deterministic, None)
        rest = query[self.num_rows :]
        return torch.cat([attended, torch.zeros_like(rest)]) if len(rest) else attended


class SegmentAttention:
    """query, key, value [N, heads, d] -> [N', heads, d], N' the next multiple with zeros behind: every run of rows
    attends to itself, all of it to all of it."""

    def __init__(self, segments: Segments, rows: Rows, device: torch.device, dtype: torch.dtype, deterministic: bool):
        self.segments, self.rows, self.deterministic = segments, rows, deterministic
        self.ends = _ends(segments.lengths, device) if has_varlen(device, dtype) else None

    def __call__(self, query, key, value, scale: float) -> torch.Tensor:
        if self.ends is not None:
            longest = int(self.segments.lengths.max())
            ends, both = (self.ends, self.ends), (longest, longest)
            return self.rows.pad(_varlen(query, key, value, ends, both, False, self.deterministic, scale))
        out, start = query.new_empty(self.rows.padded(len(query)), *query.shape[1:]), 0
        out[len(query) :] = 0
        for count, length in self.segments.classes:
            rows = slice(start, start + count * length)
            start = rows.stop
            q, k, v = (part[rows].unflatten(0, (count, length)).transpose(1, 2) for part in (query, key, value))
            attended = nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)
            out[rows].unflatten(0, (count, length)).copy_(attended.transpose(1, 2))
        return out


def _ends(lengths: np.ndarray, device: torch.device) -> torch.Tensor:
    """int32 [n + 1] cumulative lengths, sent without waiting."""
    return send(np.concatenate([[0], lengths.cumsum()]).astype(np.int32), device)


def _varlen(query, key, value, ends, longest, causal: bool, deterministic: bool, scale: float | None):
    from torch.nn.attention.varlen import varlen_attn

    known = _varlen_parameters()
    options: dict = {} if scale is None else {"scale": scale}
    if causal:
        options |= {"is_causal": True} if "is_causal" in known else {"window_size": (-1, 0)}
    if key.shape[1] != query.shape[1] and "enable_gqa" in known:
        options["enable_gqa"] = True
    if deterministic and "num_splits" in known:
        options["num_splits"] = 1
    return varlen_attn(query.contiguous(), key.contiguous(), value.contiguous(), *ends, *longest, **options)


@lru_cache(maxsize=1)
def _varlen_parameters() -> frozenset[str]:
    """Which options this torch has: 2.11 and 2.13 spell causal attention and grouped keys differently."""
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


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
