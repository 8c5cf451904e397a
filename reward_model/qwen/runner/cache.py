"""LRU cache of tensors by content within a budget of bytes, with an optional second level in host memory."""

from __future__ import annotations

from collections import OrderedDict

import torch

from reward_model.types import CacheCount


class TensorCache:
    """Used from the runner's one thread; counters may be read from any thread.

    Cached tensors are never written to. With `host_budget_bytes`, an entry that the device budget evicts moves to host
    memory (pinned with CUDA) and returns to the device on its next use.
    """

    def __init__(self, name: str, device: torch.device, budget_bytes: int, host_budget_bytes: int = 0) -> None:
        self.name = name
        self.device = device
        self.budget_bytes = budget_bytes
        self.host_budget_bytes = host_budget_bytes
        self.hits = self.misses = self.evictions = 0
        self.bytes = self.host_bytes = 0
        self._entries: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._host: OrderedDict[str, torch.Tensor] = OrderedDict()

    @property
    def count(self) -> CacheCount:
        """Counters since the start; bytes of both levels."""
        return CacheCount(self.name, self.hits, self.misses, self.evictions, self.bytes + self.host_bytes)

    def __len__(self) -> int:
        return len(self._entries) + len(self._host)

    def get(self, key: str) -> torch.Tensor | None:
        """The tensor on the device, or None; counts a hit or a miss."""
        if key in self._entries:
            self._entries.move_to_end(key)
            self.hits += 1
            return self._entries[key]
        if key in self._host:
            spilled = self._host.pop(key)
            self.host_bytes -= spilled.nbytes
            self.hits += 1
            tensor = spilled.to(self.device, non_blocking=True)
            self.put(key, tensor)
            return tensor
        self.misses += 1
        return None

    def put(self, key: str, tensor: torch.Tensor) -> None:
        """Caches a tensor, unless it is larger than the whole budget."""
        if key in self._entries or tensor.nbytes > self.budget_bytes:
            return
        self._entries[key] = tensor
        self.bytes += tensor.nbytes
        while self.bytes > self.budget_bytes:
            self._evict()

    def _evict(self) -> None:
        key, tensor = self._entries.popitem(last=False)
        self.bytes -= tensor.nbytes
        self.evictions += 1
        if tensor.nbytes > self.host_budget_bytes:
            return
        on_cuda = tensor.device.type == "cuda"
        self._host[key] = torch.empty_like(tensor, device="cpu", pin_memory=on_cuda).copy_(tensor)
        self.host_bytes += tensor.nbytes
        while self.host_bytes > self.host_budget_bytes:
            _, oldest = self._host.popitem(last=False)
            self.host_bytes -= oldest.nbytes

    def clear(self) -> None:
        """Drops all entries of both levels; counters stay."""
        self._entries.clear()
        self._host.clear()
        self.bytes = self.host_bytes = 0
