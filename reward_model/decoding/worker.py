"""Main program of a decode worker: serves jobs from the socket that is its standard input, until the socket closes.

It imports neither torch nor the service and applies no policy: the pool checks a probe and then requests frames.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError

from .protocol import HEADER_BYTES, decode_header, decode_json, encode

if TYPE_CHECKING:
    import numpy as np

    from .media_decoder import ProbedVideo


def main(max_bytes: int, decoder: str) -> None:
    """Confines the process, reports what failed of that, then serves jobs with the decoder of that name."""
    connection = socket.socket(fileno=0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even inside a decoder
    try:
        # for the library that numpy loads: its threads would only take address space
        os.putenv("OPENBLAS_NUM_THREADS", "1")
        # all of them before the process is confined, since it may lose the right to read their files
        from . import decoders, images, media_decoder  # noqa: F401
        from .sandbox import give_up_privileges

        decoders.decoder(decoder)
        missing = give_up_privileges(max_bytes)
    except Exception as error:
        connection.sendall(encode({"failed": f"{type(error).__name__}: {error}"}))
        return
    connection.sendall(encode({"missing": missing}))
    jobs = _Jobs(max_bytes, decoder)
    try:
        with connection.makefile("rb") as stream:
            while jobs.serve_next(connection, stream):
                pass
    except (BrokenPipeError, ConnectionResetError):
        return  # the pool has ended


class _Jobs:
    """Serves jobs one by one and keeps the probed video between them."""

    def __init__(self, max_bytes: int, decoder: str) -> None:
        self._max_bytes = max_bytes
        self._decoder = decoder
        self._open: ProbedVideo | None = None

    def serve_next(self, connection: socket.socket, stream: IO[bytes]) -> bool:
        """Reads one job and sends its reply; False when the socket has closed."""
        header = stream.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return False
        json_bytes, payload_bytes = decode_header(header)
        job = decode_json(stream.read(json_bytes))
        # the pool kills a worker that takes too long; the timer is for a worker whose pool has ended
        signal.setitimer(signal.ITIMER_REAL, job["within_s"])
        reply, pixels = self._reply(job, stream.read(payload_bytes))
        connection.sendall(encode(reply, 0 if pixels is None else pixels.nbytes))
        if pixels is not None:
            connection.sendall(pixels.data.cast("B"))
        signal.setitimer(signal.ITIMER_REAL, 0)
        return True

    def _reply(self, job: dict[str, Any], data: bytes) -> tuple[dict[str, Any], np.ndarray | None]:
        try:
            pixels = self._run(job, data)
            if pixels is not None:
                return {"shape": pixels.shape}, pixels
            return {} if self._open is None else asdict(self._open.probe), None
        except RewardError as raised:
            error = raised
        except MemoryError:
            error = LimitExceeded(
                f"{job['what']} needs more memory than a decoder may take, {self._max_bytes} bytes",
                details={"limit": "max_decoder_bytes", "maximum": self._max_bytes},
            )
        except Exception as unexpected:
            error = InvalidMedia(f"{job['what']} can't be decoded: {type(unexpected).__name__}")
        self._open = None
        return {"code": error.code, "message": error.message, "details": error.details}, None

    def _run(self, job: dict[str, Any], data: bytes) -> np.ndarray | None:
        import numpy as np

        from .images import decode_image
        from .media_decoder import ProbedVideo

        if job["do"] == "image":
            return decode_image(data, job["what"], job["max_pixels"], job["rule"])
        if job["do"] == "frames" and self._open is not None:
            return np.ascontiguousarray(self._open.frames(job["indices"]))
        self._open = ProbedVideo(data, job["max_pixels"], self._decoder) if job["do"] == "probe" else None
        return None
