"""Limits of the runner's batches and caches. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class RunnerConfig:
    """How much a `Runner` computes at once and keeps, and whether a sample's bits depend on its batch."""

    # tokens of one forward pass, prefixes counted once; a larger group is split between its suffixes
    token_budget: int = 16_384
    # device memory of a batch, besides weights and caches; None: the token budget alone limits a batch
    batch_memory_bytes: int | None = None
    # cached vision features of reference images, on the device
    feature_cache_bytes: int = 256 * MIB
    # cached keys and values of prefixes, on the device and for evicted ones on the host
    prefix_cache_bytes: int = 1024 * MIB
    prefix_host_cache_bytes: int = 0
    # on CUDA: matrix products of a fixed number of rows and one split in attention, so that a sample's bits do not
    # depend on its batch
    deterministic: bool = False
    deterministic_rows: int = 2048
