"""A service process on loopback, for benchmarks that measure it from outside."""

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
    url: str
    command: psutil.Popen
    # the processes that serve: BentoML's supervisor, its worker, the decode workers
    family: list[psutil.Process] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self.family))

    def rss_bytes(self) -> int:
        return sum(one.memory_info().rss for one in self.family)

    def open_files(self) -> int:
        return sum(one.num_fds() for one in self.family)


@contextmanager
def service(*arguments: str, **settings: object) -> Iterator[ServiceProcess]:
    """A ready service on a free port, with `arguments` of `serve` and settings by their names."""
    command = [str(Path(sys.executable).with_name("identity-reward")), "serve", "--port", "0", *arguments]
    named = {f"IDENTITY_REWARD_{name.upper()}": str(value) for name, value in settings.items()}
    process = psutil.Popen(command, stdout=PIPE, text=True, env={**os.environ, **named})
    try:
        said = process.stdout.readline()
        harness.gate(" on http://" in said, "the service did not start")
        yield ServiceProcess(said.split(" on ")[-1].strip(), process, process.children(recursive=True))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
