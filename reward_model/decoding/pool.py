"""Pool of worker processes that decode untrusted files: a file that crashes its decoder fails alone.

A worker imports no torch and has a bounded address space, no network (where the kernel allows that) and a deadline for
each job. One that dies, hangs or sends an invalid answer is killed and replaced. Workers are started as programs, not
forked, because the server has threads and models; nothing is pickled on the way in or out.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import isfinite, prod
from typing import Any

import numpy as np

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError, ScoringFailed

from .images import ImageRule
from .media_decoder import OpenVideo
from .process import DecodeProcess, WorkerLost
from .timeline import MAX_PROBED_PIXELS, VideoProbe

log = logging.getLogger("identity_reward")

# a worker is replaced after so many jobs, which bounds what a decoder leaks
_JOBS_PER_WORKER = 2000

_Request = Callable[..., tuple[dict[str, Any], np.ndarray | None]]


class DecodePool:
    """A MediaDecoder. Its processes start at `start` or with the first job, and end at `close` or with this process.

    `timeout_s` bounds the work on one file, from its first byte to its last pixel. `max_bytes` bounds a worker's
    address space, of which its libraries take 0.3 GB.
    """

    def __init__(
        self, workers: int = 2, *, timeout_s: float = 60.0, max_bytes: int = 4 << 30, decoder: str = "pyav"
    ) -> None:
        if workers < 1:
            raise ValueError(f"a decode pool needs at least one worker, got {workers}")
        self._timeout_s = timeout_s
        self._start_process = partial(DecodeProcess, max_bytes, decoder)
        self._slots = tuple(_Slot() for _ in range(workers))
        self._idle = deque(self._slots)
        self._changed = threading.Condition()
        self._closed = False
        weakref.finalize(self, _kill, self._slots)  # also at exit

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    def start(self) -> None:
        """Start all workers; returns before they are ready."""
        with self._changed:
            for slot in self._idle:
                self._fill(slot)

    def wait_ready(self) -> None:
        """Block until every worker is ready; log once which confinement measures the kernel refuses."""
        missing: list[str] = []
        for _ in self._slots:
            with self._worker() as process:
                missing = process.missing or []
        for measure in missing:
            log.warning("files are decoded in processes that are less confined than they could be: %s", measure)

    def close(self) -> None:
        """Kill every worker, busy or not. Jobs in progress and later ones raise ScoringFailed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for slot in self._slots:
                slot.kill()

    @contextmanager
    def video(self, data: bytes | memoryview, max_pixels: int = MAX_PROBED_PIXELS) -> Iterator[OpenVideo]:
        """As `MediaDecoder.video`: one worker is reserved for the file inside the block."""
        with self._job("the video") as request:
            probe = _checked_probe(request({"do": "probe", "max_pixels": max_pixels}, data)[0])
            try:
                yield _RemoteVideo(probe, request)
            finally:
                with suppress(RewardError, WorkerLost):
                    request({"do": "forget"})

    def image(self, data: bytes | memoryview, what: str, max_pixels: int, rule: ImageRule) -> np.ndarray:
        """As `MediaDecoder.image`."""
        with self._job(what) as request:
            job = {"do": "image", "max_pixels": max_pixels, "rule": rule}
            _, pixels = request(job, data, max_reply_bytes=3 * max_pixels)
            if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise WorkerLost("sent an invalid answer")
            return pixels

    @contextmanager
    def _job(self, what: str) -> Iterator[_Request]:
        """Requests to one worker about one file; `what` names the file in errors. A lost worker is the file's error."""
        with self._worker() as process:
            process.jobs += 1
            deadline = time.monotonic() + self._timeout_s
            try:
                yield lambda job, *data, **options: process.request(
                    {**job, "what": what}, *data, deadline=deadline, **options
                )
            except WorkerLost as lost:
                process.lost = True
                if self._closed:
                    raise ScoringFailed("the decode pool is closed") from None
                log.warning("a decode worker %s and is replaced", lost)
                if lost.timed_out:
                    raise LimitExceeded(
                        f"{what} takes over {self._timeout_s:g} s to decode",
                        details={"limit": "decode_timeout_s", "maximum": self._timeout_s},
                    ) from None
                raise InvalidMedia(f"{what} can't be decoded: its decoder {lost}") from None

    @contextmanager
    def _worker(self) -> Iterator[DecodeProcess]:
        """A ready process for the calling thread alone; blocks until one is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closed)
            if self._closed:
                raise ScoringFailed("the decode pool is closed")
            for idle in self._idle:
                self._fill(idle)  # a worker that died while idle is no file's fault
            slot = self._idle.popleft()
        try:
            if slot.process is None:
                raise ScoringFailed("no decode worker can be started")
            slot.process.wait_ready()
            yield slot.process
        finally:
            with self._changed:
                if self._closed:
                    slot.end()
                else:
                    self._fill(slot)
                self._idle.append(slot)
                self._changed.notify()

    def _fill(self, slot: _Slot) -> None:
        """Under the lock. A process that cannot be started is tried again with the next job."""
        if slot.process is None or not slot.process.alive or slot.process.jobs >= _JOBS_PER_WORKER:
            slot.end()
            try:
                slot.process = self._start_process()
            except OSError as error:
                log.error("a decode worker can't be started: %s", error.strerror)


class _Slot:
    """Holds one worker at a time; it outlives workers that are replaced."""

    def __init__(self) -> None:
        self.process: DecodeProcess | None = None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self) -> None:
        if self.process is not None:
            self.process.end()
            self.process = None


def _kill(slots: Sequence[_Slot]) -> None:
    for slot in slots:
        slot.kill()


class _RemoteVideo:
    """An OpenVideo in a worker."""

    def __init__(self, probe: VideoProbe, request: _Request) -> None:
        self.probe = probe
        self._request = request

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        shape = (len(indices), self.probe.height, self.probe.width, 3)
        job = {"do": "frames", "indices": [int(i) for i in indices]}
        _, pixels = self._request(job, max_reply_bytes=prod(shape))
        if pixels is None or pixels.shape != shape:
            raise WorkerLost("sent an invalid answer")
        return pixels


def _checked_probe(reply: dict[str, Any]) -> VideoProbe:
    """The probe; WorkerLost if its values cannot be a video's."""
    try:
        probe = VideoProbe(**reply)
        counts = (probe.width, probe.height, probe.num_frames)
        times = (probe.fps, probe.duration_s)
        if all(isinstance(n, int) and n > 0 for n in counts) and all(isfinite(t) and t >= 0 for t in times):
            return probe
    except TypeError:
        pass
    raise WorkerLost("sent an invalid answer")
