"""How much the runner takes at once and keeps. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class RunnerConfig:
    # tokens of one forward pass (prefixes once, suffixes each); a larger group is split between its suffixes
    token_budget: int = 16_384
    # what a batch may take on the device over weights and caches; None: the token budget alone decides
    batch_memory_bytes: int | None = None
    # vision features of reference pictures, kept on the device
    feature_cache_bytes: int = 256 * MIB
    # keys and values of prefixes, kept on the device; what falls out may spill to the host
    prefix_cache_bytes: int = 1024 * MIB
    prefix_host_cache_bytes: int = 0
    # on CUDA: products of one fixed number of rows, one split in attention: the same bits in any company
    deterministic: bool = False
    deterministic_rows: int = 2048
