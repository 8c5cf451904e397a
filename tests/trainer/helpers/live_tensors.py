"""Bytes of the tensors that are alive, on a CPU."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Inside the context: `now` and `peak` bytes of storages that operations created and that are not freed yet."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._keys = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return output

    def _add(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key in self._keys:
            return
        self._keys.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key, size):
        self._keys.discard(key)
        self.now -= size
