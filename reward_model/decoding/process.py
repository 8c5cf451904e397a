"""One worker process of the decode pool, seen from the pool: requests over a socket, each with a deadline."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError, ScoringFailed

from .protocol import HEADER_BYTES, decode_header, decode_json, encode

# a worker imports numpy and the decoders first, which takes a tenth of this on a slow disk
_START_TIMEOUT_S = 60.0
_MAIN = (
    "import json, sys; path, *arguments = json.loads(sys.argv[1]); sys.path[:] = path; "
    "from reward_model.decoding.worker import main; main(*arguments)"
)
# the errors that a worker may report; it is not trusted to choose any other
_ERRORS: dict[str, type[RewardError]] = {cls.code: cls for cls in (InvalidMedia, LimitExceeded)}


class WorkerLost(Exception):
    """The worker is unusable. The text is what it did: "died of signal 9", "took too long"."""

    def __init__(self, reason: str, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class DecodeProcess:
    """A worker process, used by one thread at a time. It becomes ready in the background, in about half a second."""

    def __init__(self, max_bytes: int, decoder: str) -> None:
        self.jobs = 0
        self.lost = False
        # the confinement measures that failed; None until the worker is ready
        self.missing: list[str] | None = None
        self._socket, worker_socket = socket.socketpair()
        arguments = json.dumps([[path for path in sys.path if isinstance(path, str)], max_bytes, decoder])
        with worker_socket:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, arguments],
                stdin=worker_socket.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C at a shell must reach the pool alone, which ends its workers itself
            )

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the worker runs and has answered as expected so far."""
        return not self.lost and self._process.poll() is None

    def kill(self) -> None:
        """Kill the process, from any thread; a request in progress raises WorkerLost."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Kill the process and close the socket."""
        self.kill()
        self._socket.close()

    def wait_ready(self) -> None:
        """Block until the worker serves jobs. ScoringFailed when it cannot start."""
        if self.missing is not None:
            return
        try:
            greeting, _ = self._receive(time.monotonic() + _START_TIMEOUT_S, 0)
        except WorkerLost as lost:
            self.lost = True
            raise ScoringFailed(f"a decode worker did not start: it {lost}") from None
        if "failed" in greeting:
            raise ScoringFailed(f"a decode worker did not start: {str(greeting['failed'])[:300]}")
        self.missing = [str(measure)[:300] for measure in greeting.get("missing", [])]

    def request(
        self, job: dict[str, Any], data: bytes | memoryview = b"", *, deadline: float, max_reply_bytes: int = 0
    ) -> tuple[dict[str, Any], np.ndarray | None]:
        """The reply to a job and its pixels, uint8, at most `max_reply_bytes`.

        An error that the worker reports is raised; WorkerLost when there is no valid reply by `deadline`.
        """
        view = memoryview(data).cast("B")
        within_s = max(deadline - time.monotonic(), 0.001)
        try:
            self._socket.settimeout(within_s)
            self._socket.sendall(encode({**job, "within_s": within_s + 5}, view.nbytes))
            self._socket.sendall(view)
        except TimeoutError:
            raise WorkerLost("took too long", timed_out=True) from None
        except OSError:
            raise WorkerLost(self._how_it_ended()) from None
        reply, pixels = self._receive(deadline, max_reply_bytes)
        if "code" in reply:
            details = reply["details"] if isinstance(reply.get("details"), dict) else {}
            raise _ERRORS.get(reply["code"], InvalidMedia)(str(reply.get("message"))[:1000], details=details)
        return reply, pixels

    def _receive(self, deadline: float, max_bytes: int) -> tuple[dict[str, Any], np.ndarray | None]:
        """One message. Nothing in it is trusted: a hostile file may have taken the worker over."""
        try:
            json_bytes, payload_bytes = decode_header(self._read(HEADER_BYTES, deadline))
            reply = decode_json(self._read(json_bytes, deadline))
            if payload_bytes > max_bytes:
                raise ValueError(f"{payload_bytes} bytes where at most {max_bytes} are expected")
            if not payload_bytes:
                return reply, None
            pixels = np.frombuffer(self._read(payload_bytes, deadline), np.uint8)
            return reply, pixels.reshape([int(n) for n in reply["shape"]])
        except TimeoutError:
            raise WorkerLost("took too long", timed_out=True) from None
        except OSError:
            raise WorkerLost(self._how_it_ended()) from None
        except (ValueError, KeyError, TypeError, OverflowError):
            raise WorkerLost("sent an invalid answer") from None

    def _read(self, size: int, deadline: float) -> bytearray:
        buffer = bytearray(size)
        view, received = memoryview(buffer), 0
        while received < size:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            count = self._socket.recv_into(view[received:])
            if not count:
                raise ConnectionError
            received += count
        return buffer

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"died of signal {-code}" if code < 0 else f"ended with code {code}"
