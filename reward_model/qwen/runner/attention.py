"""Attention over a packed batch.

On the CPU, every class of equally long sequences is one call of scaled_dot_product_attention. On CUDA, all sequences
are one variable-length call.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import nn

from .plan import AttentionClass
from .rows import Rows, send
from .windows import Segments


class PackedAttention(Protocol):
    """Causal attention of a packed batch, laid out by `plan.AttentionClass`es."""

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """[rows, heads, d] from query [rows, heads, d] and the key table, key and value [table rows, kv heads, d].

        Rows of the query beyond the classes' rows come out as zeros.
        """
        ...


# With fewer queries the CPU takes another path, whose rounding depends on the batch.
CPU_MIN_QUERIES = 16


@lru_cache(maxsize=64)
def _causal_mask(num_queries: int, num_keys: int, device: torch.device) -> torch.Tensor:
    """bool [queries, keys], True where a query attends: query i of n is at key position num_keys - n + i."""
    mask = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(num_keys - num_queries)
    return _pad_queries(mask, 0)


def _pad_queries(queries: torch.Tensor, dim: int) -> torch.Tensor:
    """On the CPU, repeats the last entry of axis `dim` until there are CPU_MIN_QUERIES."""
    missing = CPU_MIN_QUERIES - queries.shape[dim]
    if missing <= 0 or queries.device.type != "cpu":
        return queries
    last = queries.narrow(dim, queries.shape[dim] - 1, 1)
    return torch.cat([queries, last.expand(*queries.shape[:dim], missing, *queries.shape[dim + 1 :])], dim)


class SdpaAttention:
    """A PackedAttention for every device: one call of scaled_dot_product_attention for every class."""

    def __init__(self, classes: Sequence[AttentionClass], device: torch.device) -> None:
        self.device = device
        self.classes = [(c, send(c.keys_index, device)) for c in classes]

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """As `PackedAttention`."""
        out = torch.zeros_like(query)
        for c, index in self.classes:
            rows = slice(c.start, c.start + c.count * c.num_queries)
            q = _pad_queries(query[rows].view(c.count, c.num_queries, *query.shape[1:]), 1).transpose(1, 2)
            k, v = (table[index].transpose(1, 2) for table in (key, value))
            mask = None if c.num_queries == 1 else _causal_mask(c.num_queries, c.num_keys, self.device)
            attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
            attended = attended[:, :, : c.num_queries]
            out[rows].view(c.count, c.num_queries, *query.shape[1:]).copy_(attended.transpose(1, 2))
        return out


class VarlenAttention:
    """A PackedAttention for CUDA: one call of torch's varlen_attn, on keys gathered so that each follows its prefix."""

    def __init__(self, classes: Sequence[AttentionClass], device: torch.device, deterministic: bool) -> None:
        queries = np.concatenate([np.full(c.count, c.num_queries) for c in classes])
        keys = np.concatenate([np.full(c.count, c.num_keys) for c in classes])
        self.num_rows = int(queries.sum())
        self.ends = _ends(queries, device), _ends(keys, device)
        self.index = send(np.concatenate([c.keys_index.ravel() for c in classes]), device)
        self.longest = int(queries.max()), int(keys.max())
        self.deterministic = deterministic

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """As `PackedAttention`."""
        key, value = key[self.index], value[self.index]
        attended = _varlen(query[: self.num_rows], key, value, self.ends, self.longest, True, self.deterministic, None)
        rest = query[self.num_rows :]
        return torch.cat([attended, torch.zeros_like(rest)]) if len(rest) else attended


class SegmentAttention:
    """Full attention inside segments of rows: query, key, value [N, heads, d] -> [N', heads, d].

    N' is the next multiple of rows (`Rows.pad`); the rows past N are zeros.
    """

    def __init__(
        self, segments: Segments, rows: Rows, device: torch.device, dtype: torch.dtype, deterministic: bool
    ) -> None:
        self.segments, self.rows, self.deterministic = segments, rows, deterministic
        self.ends = _ends(segments.lengths, device) if has_varlen(device, dtype) else None

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        """softmax(scale * query @ key^T) @ value inside each segment."""
        if self.ends is not None:
            longest = int(self.segments.lengths.max())
            ends, lengths = (self.ends, self.ends), (longest, longest)
            return self.rows.pad(_varlen(query, key, value, ends, lengths, False, self.deterministic, scale))
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
    """int32 [n + 1]: cumulative lengths from 0, sent without synchronisation."""
    return send(np.concatenate([[0], lengths.cumsum()]).astype(np.int32), device)


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: tuple[torch.Tensor, torch.Tensor],
    longest: tuple[int, int],
    causal: bool,
    deterministic: bool,
    scale: float | None,
) -> torch.Tensor:
    """torch's varlen_attn; `ends` and `longest` are those of queries and keys."""
    from torch.nn.attention.varlen import varlen_attn

    parameters = _varlen_parameters()
    options: dict[str, Any] = {} if scale is None else {"scale": scale}
    if causal:
        options |= {"is_causal": True} if "is_causal" in parameters else {"window_size": (-1, 0)}
    if key.shape[1] != query.shape[1] and "enable_gqa" in parameters:
        options["enable_gqa"] = True
    if deterministic and "num_splits" in parameters:
        options["num_splits"] = 1
    attended = varlen_attn(query.contiguous(), key.contiguous(), value.contiguous(), *ends, *longest, **options)
    return cast(torch.Tensor, attended)


@lru_cache(maxsize=1)
def _varlen_parameters() -> frozenset[str]:
    """Names of its options, which differ between torch 2.11 and 2.13 for causal attention and grouped keys."""
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch's varlen_attn computes this dtype on this device."""
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    return find_spec("torch.nn.attention.varlen") is not None


def packed_attention(
    classes: Sequence[AttentionClass], device: torch.device, dtype: torch.dtype, deterministic: bool
) -> PackedAttention:
    """The fastest implementation for the device; `deterministic` applies to CUDA."""
    if has_varlen(device, dtype):
        return VarlenAttention(classes, device, deterministic)
    return SdpaAttention(classes, device)
