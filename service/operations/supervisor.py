"""Supervision of `bentoml serve`: its processes are started, watched and stopped as one."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from ..settings.settings import Settings
from . import status

_POLL_S = 0.1
# seconds after the drain timeout until processes are killed; BentoML's own supervisor waits a day for a worker
GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """The server did not start, or it ended. The message is one line."""


class SupervisedServer:
    """A running `bentoml serve`. It has its own BENTOML_HOME: a second server on the same one would delete its files.

    Setting `stop_now` ends `stop` without waiting for the drain.
    """

    def __init__(
        self, settings: Settings, home: Path, host: str, port: int, *, verbose: bool, stop_now: threading.Event
    ) -> None:
        self._settings = settings
        self._ready = False
        self._stop_now = stop_now
        command = [sys.executable, "-m", "bentoml", "serve", "service.app:IdentityRewardService"]
        command += ["--host", host, "--port", str(port), "--working-dir", str(Path(__file__).parents[2])]
        command += [] if verbose else ["--quiet"]
        environment = {**settings.environment(), "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
        environment["GRPC_VERBOSITY"] = "NONE"  # its core logs a line for every failed handshake
        self._process = psutil.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def __enter__(self) -> SupervisedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self, stop: threading.Event) -> list[str]:
        """Names of the models once they are served, the default first; empty if `stop` is set before.

        Raises StartFailed.
        """
        workers: set[psutil.Process] = set()
        while not stop.wait(_POLL_S):
            self._check()
            if (reported := status.read(self._settings)) is not None:
                self._ready = True
                return reported["models"]
            workers |= set(self._children())
            if not all(_alive(worker) for worker in workers):
                time.sleep(_POLL_S)
                self._check()
                raise StartFailed("a server process died while starting; --verbose shows what it said")
        return []

    def wait(self, stop: threading.Event) -> None:
        """Returns when `stop` is set. Raises StartFailed when the server ends before."""
        while not stop.wait(_POLL_S):
            self._check()

    def _check(self) -> None:
        reported = status.read(self._settings)
        if reported is not None and reported["failed"] is not None:
            raise StartFailed(f"the server {'has stopped' if self._ready else 'could not start'}: {reported['failed']}")
        code = self._process.poll()
        if code is not None:
            raise StartFailed(f"the server ended by itself with code {code}; --verbose shows what it said")

    def _children(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after the drain and a grace. Workers lead sessions of their own: each is looked up."""
        processes = self._children()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        # before it is ready there is nothing to drain, and BentoML's supervisor may miss a signal while it starts
        drain_s = self._settings.operations.drain_timeout_s if self._ready else 0
        deadline = time.monotonic() + drain_s + GRACE_S
        while time.monotonic() < deadline and not self._stop_now.is_set():
            if self._process.poll() is not None:
                break
            time.sleep(_POLL_S)
        else:
            self._process.suspend()  # so that it starts no other worker
            processes += self._children()
            self._process.kill()
        for process in processes:
            if _alive(process):
                process.kill()
        psutil.wait_procs(processes, timeout=GRACE_S)
        self._process.wait()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _die_with_parent() -> None:
    """Makes the kernel send SIGTERM to the started process when this one ends, for whatever reason."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
