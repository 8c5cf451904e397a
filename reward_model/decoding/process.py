"""One worker of the decode pool, seen from the pool: a process, a socket to it, questions with a deadline."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError, ScoringFailed

from .protocol import HEAD_BYTES, head, lengths, parsed

# imports numpy and the decoders: a tenth of this where the disk is slow
_START_S = 60.0
_MAIN = (
    "import json, sys; path, *given = json.loads(sys.argv[1]); sys.path[:] = path; "
    "from reward_model.decoding.worker import main; main(*given)"
)
_ERRORS: dict[str, type[RewardError]] = {cls.code: cls for cls in (InvalidMedia, LimitExceeded)}


class WorkerLost(Exception):
    """The process is of no more use. The text says what it did."""

    def __init__(self, did: str, late: bool = False):
        super().__init__(did)
        self.late = late


class DecodeProcess:
    """Used by one thread at a time. It takes about half a second to be ready, which nobody has to wait for."""

    def __init__(self, max_bytes: int, decoder: str):
        self.jobs = 0
        self.lost = False
        # what the kernel did not allow it to give up; known once it is ready
        self.missing: list[str] | None = None
        self._socket, theirs = socket.socketpair()
        given = json.dumps([[place for place in sys.path if isinstance(place, str)], max_bytes, decoder])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, given],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C at a shell is for the pool, which ends its workers itself
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self.lost and self._process.poll() is None

    def kill(self) -> None:
        """From any thread; whoever is asking it something gets WorkerLost."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        self.kill()
        self._socket.close()

    def wait_ready(self) -> None:
        """ScoringFailed when it can't start."""
        if self.missing is not None:
            return
        try:
            hello, _ = self._reply(time.monotonic() + _START_S, 0)
        except WorkerLost as lost:
            self.lost = True
            raise ScoringFailed(f"a decode worker did not start: it {lost}") from None
        if "failed" in hello:
            raise ScoringFailed(f"a decode worker did not start: {str(hello['failed'])[:300]}")
        self.missing = [str(one)[:300] for one in hello.get("missing", [])]

    def ask(
        self, job: dict[str, Any], data: bytes | memoryview = b"", *, deadline: float, max_reply_bytes: int = 0
    ) -> tuple[dict[str, Any], np.ndarray | None]:
        """The answer and its pixels, uint8, at most `max_reply_bytes` of them. Its errors are raised as ours."""
        view = memoryview(data).cast("B")
        within_s = max(deadline - time.monotonic(), 0.001)
        try:
            self._socket.settimeout(within_s)
            self._socket.sendall(head({**job, "within_s": within_s + 5}, view.nbytes))
            self._socket.sendall(view)
        except TimeoutError:
            raise WorkerLost("took too long", late=True) from None
        except OSError:
            raise WorkerLost(self._how_it_ended()) from None
        reply, pixels = self._reply(deadline, max_reply_bytes)
        if "code" in reply:
            details = reply["details"] if isinstance(reply.get("details"), dict) else {}
            raise _ERRORS.get(reply["code"], InvalidMedia)(str(reply.get("message"))[:1000], details=details)
        return reply, pixels

    def _reply(self, deadline: float, max_bytes: int) -> tuple[dict[str, Any], np.ndarray | None]:
        """Nothing of it is believed: a damaged file may have taken the worker over."""
        try:
            length, size = lengths(self._read(HEAD_BYTES, deadline))
            reply = parsed(self._read(length, deadline))
            if size > max_bytes:
                raise ValueError(f"{size} bytes where {max_bytes} are wanted")
            if not size:
                return reply, None
            pixels = np.frombuffer(self._read(size, deadline), np.uint8)
            return reply, pixels.reshape([int(n) for n in reply["shape"]])
        except TimeoutError:
            raise WorkerLost("took too long", late=True) from None
        except OSError:
            raise WorkerLost(self._how_it_ended()) from None
        except (ValueError, KeyError, TypeError, OverflowError):
            raise WorkerLost("answered nonsense") from None

    def _read(self, size: int, deadline: float) -> bytearray:
        buffer = bytearray(size)
        view, done = memoryview(buffer), 0
        while done < size:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            got = self._socket.recv_into(view[done:])
            if not got:
                raise ConnectionError
            done += got
        return buffer

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"died of signal {-code}" if code < 0 else f"ended with code {code}"
