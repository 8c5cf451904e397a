"""Tensors kept by content, least recently used first out, within a budget of bytes; a second, host-side budget may
catch what the device lets go."""

from __future__ import annotations

from collections import OrderedDict

import torch

from reward_model.types import CacheCount


class TensorCache:
    """Used from the runner's one thread; counters may be read from any.

    What is put in is never written to again. With `host_budget_bytes` an entry that the device budget pushes out moves
    to host memory (pinned where there is CUDA) and comes back on its next use.
    """

    def __init__(self, name: str, device: torch.device, budget_bytes: int, host_budget_bytes: int = 0):
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
        return CacheCount(self.name, self.hits, self.misses, self.evictions, self.bytes + self.host_bytes)

    def __len__(self) -> int:
        return len(self._entries) + len(self._host)

    def get(self, key: str) -> torch.Tensor | None:
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
        self._entries.clear()
        self._host.clear()
        self.bytes = self.host_bytes = 0
