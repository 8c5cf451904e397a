"""Reference sets that were put once and are named by id since."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from identity_reward_client.errors import LimitExceeded, ReferenceSetNotFound
from reward_model import types
from reward_model.decoding.images import ImageRule


class ReferenceStore:
    """Decoded reference sets by id and picture rule, least recently used first out, bounded in bytes.

    Safe from several threads.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._sets: OrderedDict[tuple[str, ImageRule], types.ReferenceSet] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def find(self, key: tuple[str, ImageRule]) -> types.ReferenceSet | None:
        return self._sets.get(key)

    def get(self, key: tuple[str, ImageRule]) -> types.ReferenceSet:
        with self._lock:
            if key not in self._sets:
                raise ReferenceSetNotFound(
                    f"reference set {key[0]} isn't stored here (any more); put its pictures to /v1/reference-sets"
                )
            self._sets.move_to_end(key)
            return self._sets[key]

    def put(self, key: tuple[str, ImageRule], references: types.ReferenceSet) -> None:
        size = _size(references)
        if size > self._max_bytes:
            raise LimitExceeded(
                f"the reference set takes {size} bytes decoded; the server keeps {self._max_bytes} in all",
                details={"limit": "max_reference_store_bytes", "maximum": self._max_bytes},
            )
        with self._lock:
            if key in self._sets:
                self._sets.move_to_end(key)
                return
            self._sets[key] = references
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._bytes -= _size(self._sets.popitem(last=False)[1])


def _size(references: types.ReferenceSet) -> int:
    return sum(image.nbytes for image in references.images)
