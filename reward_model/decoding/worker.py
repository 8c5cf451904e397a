"""A process of the decode pool: does jobs from the socket that is its standard input, until that ends.

It imports neither torch nor the service and knows no limits: the pool looks at a probe and says which frames it wants.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError

from .protocol import HEAD_BYTES, head, lengths, parsed

if TYPE_CHECKING:
    import numpy as np

    from .media_decoder import ProbedVideo


def main(max_bytes: int, decoder: str) -> None:
    connection = socket.socket(fileno=0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even in the middle of a decoder
    try:
        # for the library that numpy loads: its threads would only take address space
        os.putenv("OPENBLAS_NUM_THREADS", "1")
        from . import decoders as decode
        from .sandbox import give_up_privileges

        decode.decoder(decoder)
        missing = give_up_privileges(max_bytes)
    except Exception as error:
        connection.sendall(head({"failed": f"{type(error).__name__}: {error}"}))
        return
    connection.sendall(head({"missing": missing}))
    jobs = _Jobs(max_bytes, decoder)
    try:
        with connection.makefile("rb") as stream:
            while jobs.do_next(connection, stream):
                pass
    except (BrokenPipeError, ConnectionResetError):
        return  # the pool is gone


class _Jobs:
    def __init__(self, max_bytes: int, decoder: str):
        self._max_bytes = max_bytes
        self._decoder = decoder
        self._open: ProbedVideo | None = None

    def do_next(self, connection: socket.socket, stream: IO[bytes]) -> bool:
        """One job and its reply; False when there are no more."""
        start = stream.read(HEAD_BYTES)
        if len(start) < HEAD_BYTES:
            return False
        length, size = lengths(start)
        job = parsed(stream.read(length))
        # the pool ends a worker that takes too long; this one is for a worker whose pool is gone
        signal.setitimer(signal.ITIMER_REAL, job["within_s"])
        reply, pixels = self._outcome(job, stream.read(size))
        connection.sendall(head(reply, 0 if pixels is None else pixels.nbytes))
        if pixels is not None:
            connection.sendall(pixels.data.cast("B"))
        signal.setitimer(signal.ITIMER_REAL, 0)
        return True

    def _outcome(self, job: dict[str, Any], data: bytes) -> tuple[dict[str, Any], np.ndarray | None]:
        try:
            pixels = self._do(job, data)
            if pixels is not None:
                return {"shape": pixels.shape}, pixels
            return {} if self._open is None else asdict(self._open.probe), None
        except RewardError as error:
            failed = error
        except MemoryError:
            failed = LimitExceeded(
                f"{job['what']} needs more memory than a decoder may take, {self._max_bytes} bytes",
                details={"limit": "max_decoder_bytes", "maximum": self._max_bytes},
            )
        except Exception as error:
            failed = InvalidMedia(f"{job['what']} can't be decoded: {type(error).__name__}")
        self._open = None
        return {"code": failed.code, "message": failed.message, "details": failed.details}, None

    def _do(self, job: dict[str, Any], data: bytes) -> np.ndarray | None:
        import numpy as np

        from .images import decode_picture
        from .media_decoder import ProbedVideo

        if job["do"] == "picture":
            return decode_picture(data, job["what"], job["max_pixels"], job["rule"])
        if job["do"] == "frames" and self._open is not None:
            return np.ascontiguousarray(self._open.frames(job["indices"]))
        self._open = ProbedVideo(data, job["max_pixels"], self._decoder) if job["do"] == "probe" else None
        return None
