"""`identity-reward serve` as a process of its own, with its output and everything that it starts."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.paths import ROOT
from tests.support.scorers.gate import ModelGate
from tests.support.waiting import GENEROUS_S, wait_until

COMMAND = str(Path(sys.executable).parent / "identity-reward")
PREFIX = "IDENTITY_REWARD_"


class ServeProcess:
    """A server process. `family` holds every process that it started, once it is ready."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None):
        self.process = psutil.Popen(
            [COMMAND, "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=lambda lines=lines, pipe=pipe: lines.extend(iter(pipe.readline, "")), daemon=True)
            for lines, pipe in ((self.out, self.process.stdout), (self.err, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        self.family: list[psutil.Process] = []
        self.url = ""

    def wait_ready(self, lines: int = 1) -> "ServeProcess":
        """Wait until `lines` lines of standard output: one for HTTP, a second one for gRPC."""

        def is_ready() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {''.join(self.err)}"
            return len(self.out) >= lines

        wait_until(is_ready, "the server is ready")
        self.url = self.out[0].rsplit(" ", 1)[1].strip()
        self.family = self.process.children(recursive=True)
        return self

    @property
    def grpc_url(self) -> str:
        """grpc://HOST:PORT, of a server that listens for gRPC."""
        return self.out[1].rsplit(" ", 1)[1].strip()

    @property
    def grpc_target(self) -> str:
        """HOST:PORT of gRPC."""
        return self.grpc_url.removeprefix("grpc://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """End every process at once, as a power failure does."""
        for process in [*self.family, self.process]:
            if process.is_running():
                process.kill()
        self.wait()

    def wait(self, timeout_s: float = GENEROUS_S) -> int:
        """Return the exit code; nothing that the server started outlives this call."""
        try:
            return self.process.wait(timeout_s)
        finally:
            for process in [*self.family, self.process]:
                if process.is_running():
                    process.kill()
            for reader in self._readers:
                reader.join(GENEROUS_S)

    def memory_bytes(self) -> int:
        """Memory that the server's processes hold; pages that they share are counted once."""
        return sum(process.memory_full_info().pss for process in self.process.children(recursive=True))


class SlowServer(ServeProcess):
    """A server of the slow model, whose batches the test can hold back by `gate`."""

    def __init__(self, gate_folder: Path, *arguments: str, **settings: object):
        self.gate = ModelGate(gate_folder)
        paths = [str(ROOT / "tests/support/scorers/site"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            "PYTHONPATH": os.pathsep.join(paths),
            "SLOW_MODEL_GATE": str(gate_folder),
            # decode in threads instead of processes: only raw frames are sent to it
            f"{PREFIX}DECODE_WORKERS": "0",
            **{f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()},
        }
        super().__init__("--model", "slow", "--port", "0", *arguments, environment=environment)


def end_with_children(process: psutil.Popen) -> None:
    """Send SIGTERM and wait; whatever the process started and left behind is killed."""
    family = process.children(recursive=True) if process.is_running() else []
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
        process.wait(GENEROUS_S)
    for member in [*family, process]:
        if member.is_running():
            member.kill()


def have_ended(processes: list[psutil.Process]) -> bool:
    """Whether each is gone, or a zombie that its parent can reap."""
    return all(map(_has_ended, processes))


def _has_ended(process: psutil.Process) -> bool:
    try:
        if not process.is_running():
            return True
        # while other threads still end, the process is a zombie that can't be reaped
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1
    except psutil.NoSuchProcess:
        return True


def decode_processes(server: ServeProcess) -> list[psutil.Process]:
    """The processes of a server that decode files."""
    decoders = []
    for process in server.process.children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            is_decoder = "reward_model.decoding.worker" in " ".join(process.cmdline())
            if is_decoder and process.status() != psutil.STATUS_ZOMBIE:
                decoders.append(process)
    return decoders
