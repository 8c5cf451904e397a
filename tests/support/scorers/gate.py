"""A gate in front of the slow model, which lies in a folder that the server process and its test share.

While it is closed, the current batch waits in `forward`, and later ones wait for it: a test arranges requests, checks
the server's state without a time limit, and opens the gate.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

CLOSED = "closed"
BATCHES = "batches"
PREPROCESSED = "preprocessed"
_PERMITS = "permit-*"


def take_permit(folder: Path) -> bool:
    for permit in folder.glob(_PERMITS):
        permit.unlink(missing_ok=True)
        return True
    return False


class ModelGate:
    def __init__(self, folder: Path):
        self.folder = folder
        self._permits = 0
        self._batches_when_closed = self._preprocessed_when_closed = 0

    def close(self) -> None:
        self._batches_when_closed, self._preprocessed_when_closed = self.batches, self.preprocessed
        (self.folder / CLOSED).touch()

    def open(self) -> None:
        (self.folder / CLOSED).unlink(missing_ok=True)
        for permit in self.folder.glob(_PERMITS):
            permit.unlink(missing_ok=True)

    @contextmanager
    def closed(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()

    def let_pass(self, batches: int = 1) -> None:
        """Let so many batches pass the closed gate."""
        for _ in range(batches):
            self._permits += 1
            (self.folder / f"permit-{self._permits}").touch()

    @property
    def batches(self) -> int:
        """Batches that reached `forward`, one that waits at the gate included."""
        return self._count(BATCHES)

    @property
    def preprocessed(self) -> int:
        """Videos that were preprocessed."""
        return self._count(PREPROCESSED)

    @property
    def preprocessed_since_closed(self) -> int:
        return self.preprocessed - self._preprocessed_when_closed

    def _count(self, name: str) -> int:
        path = self.folder / name
        return path.stat().st_size if path.exists() else 0

    def wait_for_batch(self) -> None:
        """Wait until a batch stands at the gate that was closed by this object."""
        wait_until(lambda: self.batches > self._batches_when_closed, "a batch waits at the gate")
