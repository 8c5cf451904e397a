"""Store of decoded reference sets, which requests name by id."""

from __future__ import annotations

from threading import Lock

from cachetools import LRUCache

from identity_reward_client.errors import LimitExceeded, ReferenceSetNotFound
from reward_model.decoding.images import ImageRule
from reward_model.types import ReferenceSet

# id by content, and how the models that use the set decode its files
ReferenceKey = tuple[str, ImageRule]


class ReferenceStore:
    """Least recently used cache of reference sets, bounded in bytes. Thread-safe."""

    def __init__(self, max_bytes: int):
        self._sets: LRUCache[ReferenceKey, ReferenceSet] = LRUCache(max_bytes, getsizeof=_num_bytes)
        self._lock = Lock()

    def find(self, key: ReferenceKey) -> ReferenceSet | None:
        """The stored set, if there is one."""
        with self._lock:
            return self._sets.get(key)

    def get(self, key: ReferenceKey) -> ReferenceSet:
        """The stored set. Raises ReferenceSetNotFound."""
        references = self.find(key)
        if references is None:
            raise ReferenceSetNotFound(
                f"reference set {key[0]} isn't stored here (any more); PUT its images to /v1/reference-sets"
            )
        return references

    def put(self, key: ReferenceKey, references: ReferenceSet) -> None:
        """Store a set, evicting the least recently used ones. Raises LimitExceeded if it is larger than the store."""
        size = _num_bytes(references)
        if size > self._sets.maxsize:
            raise LimitExceeded(
                f"the reference set takes {size} bytes decoded; the store holds {self._sets.maxsize} in all",
                details={"limit": "max_reference_store_bytes", "maximum": self._sets.maxsize},
            )
        with self._lock:
            if key not in self._sets:
                self._sets[key] = references
            else:
                self._sets.get(key)  # marks it as recently used


def _num_bytes(references: ReferenceSet) -> int:
    return sum(image.nbytes for image in references.images)
