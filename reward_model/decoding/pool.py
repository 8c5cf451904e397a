"""Decoding in worker processes: what a file does to its decoder, it does to one of them, and costs that file alone.

A worker imports no torch, has a bounded address space, no network where the kernel allows that, and a deadline for
each job; one that dies, hangs or answers nonsense is killed and replaced. Workers are started as programs, not forked
(the server has threads and models), and nothing is pickled on the way in or out.
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

from .images import PictureRule
from .media_decoder import OpenVideo
from .process import DecodeProcess, WorkerLost
from .timeline import MAX_PROBED_PIXELS, VideoProbe

log = logging.getLogger("identity_reward")

# whatever a decoder leaks, it leaks at most so often
_JOBS_PER_WORKER = 2000

_Ask = Callable[..., tuple[dict[str, Any], np.ndarray | None]]


class DecodePool:
    """A MediaDecoder. Processes begin at `start` or with the first job, and end at `close` or with this process.

    `timeout_s` is for one file, from its first byte to its last pixel; `max_bytes` bounds a worker's address space,
    0.3 GB of which its libraries take.
    """

    def __init__(self, workers: int = 2, *, timeout_s: float = 60.0, max_bytes: int = 4 << 30, decoder: str = "pyav"):
        if workers < 1:
            raise ValueError(f"a decode pool needs at least one worker, got {workers}")
        self._timeout_s = timeout_s
        self._make = partial(DecodeProcess, max_bytes, decoder)
        self._places = tuple(_Place() for _ in range(workers))
        self._idle = deque(self._places)
        self._changed = threading.Condition()
        self._closed = False
        weakref.finalize(self, _kill, self._places)  # also at exit

    @property
    def pids(self) -> list[int]:
        return [place.process.pid for place in self._places if place.process is not None]

    def start(self) -> None:
        with self._changed:
            for place in self._idle:
                self._fill(place)

    def wait_ready(self) -> None:
        """Also logs, once, what the kernel does not let the workers give up."""
        missing: list[str] = []
        for _ in self._places:
            with self._worker() as process:
                missing = process.missing or []
        for one in missing:
            log.warning("files are decoded in processes that are less confined than they could be: %s", one)

    def close(self) -> None:
        """Kills every worker, busy or not. The job of a busy one, and every later job, is a ScoringFailed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for place in self._places:
                place.kill()

    @contextmanager
    def video(self, data: bytes | memoryview, max_pixels: int = MAX_PROBED_PIXELS) -> Iterator[OpenVideo]:
        with self._asking("the video") as ask:
            probe = _believable(ask({"do": "probe", "max_pixels": max_pixels}, data)[0])
            try:
                yield _RemoteVideo(probe, ask)
            finally:
                with suppress(RewardError, WorkerLost):
                    ask({"do": "forget"})

    def picture(self, data: bytes | memoryview, what: str, max_pixels: int, rule: PictureRule) -> np.ndarray:
        with self._asking(what) as ask:
            job = {"do": "picture", "max_pixels": max_pixels, "rule": rule}
            _, pixels = ask(job, data, max_reply_bytes=3 * max_pixels)
            if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise WorkerLost("answered nonsense")
            return pixels

    @contextmanager
    def _asking(self, what: str) -> Iterator[_Ask]:
        """Questions to one worker about one file. What becomes of the worker becomes the file's error."""
        with self._worker() as process:
            process.jobs += 1
            deadline = time.monotonic() + self._timeout_s
            try:
                yield lambda job, *data, **options: process.ask(
                    {**job, "what": what}, *data, deadline=deadline, **options
                )
            except WorkerLost as lost:
                process.lost = True
                if self._closed:
                    raise ScoringFailed("the decode pool is closed") from None
                log.warning("a decode worker %s and is replaced", lost)
                if lost.late:
                    raise LimitExceeded(
                        f"{what} takes over {self._timeout_s:g} s to decode",
                        details={"limit": "decode_timeout_s", "maximum": self._timeout_s},
                    ) from None
                raise InvalidMedia(f"{what} can't be decoded: its decoder {lost}") from None

    @contextmanager
    def _worker(self) -> Iterator[DecodeProcess]:
        """A ready process for one thread; the others wait for the next that is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closed)
            if self._closed:
                raise ScoringFailed("the decode pool is closed")
            for idle in self._idle:
                self._fill(idle)  # one that died while idle is no file's fault
            place = self._idle.popleft()
        try:
            if place.process is None:
                raise ScoringFailed("no process can be started to decode in")
            place.process.wait_ready()
            yield place.process
        finally:
            with self._changed:
                if self._closed:
                    place.end()
                else:
                    self._fill(place)
                self._idle.append(place)
                self._changed.notify()

    def _fill(self, place: _Place) -> None:
        """Under the lock. A process that can't be started is tried again with the next job."""
        if place.process is None or not place.process.alive or place.process.jobs >= _JOBS_PER_WORKER:
            place.end()
            try:
                place.process = self._make()
            except OSError as error:
                log.error("a decode worker can't be started: %s", error.strerror)


class _Place:
    """Where a worker stands: what outlives one that is replaced."""

    def __init__(self) -> None:
        self.process: DecodeProcess | None = None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self) -> None:
        if self.process is not None:
            self.process.end()
            self.process = None


def _kill(places: Sequence[_Place]) -> None:
    for place in places:
        place.kill()


class _RemoteVideo:
    def __init__(self, probe: VideoProbe, ask: _Ask):
        self.probe = probe
        self._ask = ask

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        shape = (len(indices), self.probe.height, self.probe.width, 3)
        job = {"do": "frames", "indices": [int(i) for i in indices]}
        _, pixels = self._ask(job, max_reply_bytes=prod(shape))
        if pixels is None or pixels.shape != shape:
            raise WorkerLost("answered nonsense")
        return pixels


def _believable(reply: dict[str, Any]) -> VideoProbe:
    """The probe, if its values can be a video's."""
    try:
        probe = VideoProbe(**reply)
        counts = (probe.width, probe.height, probe.num_frames)
        times = (probe.fps, probe.duration_s)
        if all(isinstance(n, int) and n > 0 for n in counts) and all(isfinite(t) and t >= 0 for t in times):
            return probe
    except TypeError:
        pass
    raise WorkerLost("answered nonsense")
