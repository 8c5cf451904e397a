"""Start a service process on loopback for benchmarks that measure it over HTTP."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE

import psutil

from . import harness


@dataclass
class ServiceProcess:
    """A running service and the resources that its processes use."""

    url: str
    command: psutil.Popen
    # BentoML's supervisor, its worker and the decode workers
    processes: list[psutil.Process] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used."""
        return sum(times.user + times.system for times in (process.cpu_times() for process in self.processes))

    def rss_bytes(self) -> int:
        return sum(process.memory_info().rss for process in self.processes)

    def open_files(self) -> int:
        return sum(process.num_fds() for process in self.processes)


@contextmanager
def service(*arguments: str, **settings: object) -> Iterator[ServiceProcess]:
    """Start `identity-reward serve` on a free port and stop it at the end.

    Args:
        arguments: further arguments of the command.
        settings: values of settings; `result_cache_entries=0` sets IDENTITY_REWARD_RESULT_CACHE_ENTRIES.
    """
    command = [str(Path(sys.executable).with_name("identity-reward")), "serve", "--port", "0", *arguments]
    environment = {f"IDENTITY_REWARD_{name.upper()}": str(value) for name, value in settings.items()}
    process = psutil.Popen(command, stdout=PIPE, text=True, env={**os.environ, **environment})
    try:
        startup_line = process.stdout.readline()
        harness.gate(" on http://" in startup_line, "the service did not start")
        yield ServiceProcess(startup_line.split(" on ")[-1].strip(), process, process.children(recursive=True))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
