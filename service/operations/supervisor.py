"""BentoML's processes as one thing that starts, is watched and goes away whole."""

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
# over the drain: BentoML's supervisor waits a day for a worker
GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """One line: why no server runs."""


class Server:
    """`bentoml serve` with a BENTOML_HOME of its own: a second server on the same one would delete its files."""

    def __init__(
        self, settings: Settings, home: Path, host: str, port: int, *, verbose: bool, impatient: threading.Event
    ):
        self._settings = settings
        self._ready = False
        self._impatient = impatient
        command = [sys.executable, "-m", "bentoml", "serve", "service.app:IdentityRewardService"]
        command += ["--host", host, "--port", str(port), "--working-dir", str(Path(__file__).parents[2])]
        command += [] if verbose else ["--quiet"]
        environment = {**settings.environment(), "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
        environment["GRPC_VERBOSITY"] = "NONE"  # its core writes a line for every stranger whose handshake fails
        self._process = psutil.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self, stop: threading.Event) -> list[str]:
        """Names of the models once they answer, default first; none when `stop` came before. StartFailed if neither."""
        workers: set[psutil.Process] = set()
        while not stop.wait(_POLL_S):
            self._check()
            if (state := status.read(self._settings)) is not None:
                self._ready = True
                return state["models"]
            workers |= set(self._children())
            if not all(_alive(worker) for worker in workers):
                time.sleep(_POLL_S)
                self._check()
                raise StartFailed("a server process died while starting; --verbose shows what it said")
        return []

    def wait(self, stop: threading.Event) -> None:
        while not stop.wait(_POLL_S):
            self._check()

    def _check(self) -> None:
        state = status.read(self._settings)
        if state is not None and state["failed"] is not None:
            raise StartFailed(f"the server {'has stopped' if self._ready else 'could not start'}: {state['failed']}")
        code = self._process.poll()
        if code is not None:
            raise StartFailed(f"the server ended by itself with code {code}; --verbose shows what it said")

    def _children(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """Ask, wait a little, then kill: workers lead sessions of their own, so each is looked up, none is left."""
        family = self._children()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        # before it is ready there is nothing to drain, and BentoML's supervisor may miss a signal while it starts
        drain_s = self._settings.operations.drain_timeout_s if self._ready else 0
        deadline = time.monotonic() + drain_s + GRACE_S
        while time.monotonic() < deadline and not self._impatient.is_set():
            if self._process.poll() is not None:
                break
            time.sleep(_POLL_S)
        else:
            self._process.suspend()  # so that it starts no further worker
            family += self._children()
            self._process.kill()
        for process in family:
            if _alive(process):
                process.kill()
        psutil.wait_procs([*family], timeout=GRACE_S)
        self._process.wait()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _die_with_parent() -> None:
    """The supervisor gets SIGTERM when this process is gone, whatever ended it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
