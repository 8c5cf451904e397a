"""Two replicas of the service and an nginx process with the configuration that is shipped, on free ports."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import ServeProcess, serve, serve_slow  # noqa: F401  fixtures

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
# small enough that a test can pass it
MAX_BODY_BYTES = 4 << 20


def tool(name: str) -> str:
    """The program, or a skip; where continuous integration runs, it has to be there."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        message = f"{name} is not installed; apt.txt names its package"
        assert not os.environ.get("CI"), message
        pytest.skip(message)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, timeout_s: float = 10):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return found


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old} isn't in the shipped configuration"
        text = text.replace(old, new)
    return text


class Proxy:
    """nginx with deploy/nginx/*.conf, of which addresses, the folder of its files, and two limits are changed."""

    def __init__(self, folder: Path, http: list[str], grpc: list[str]):
        self.http_port, self.grpc_port = free_port(), free_port()
        self.url, self.grpc = f"http://127.0.0.1:{self.http_port}", f"127.0.0.1:{self.grpc_port}"
        places = {f"reward-{n}:3000": address for n, address in enumerate(http)}
        places |= {f"reward-{n}:50051": address for n, address in enumerate(grpc)}
        places["fail_timeout=10s"] = "fail_timeout=1s"  # or tests would wait
        (folder / "replicas.conf").write_text(replaced((DEPLOY / "nginx/replicas.conf").read_text(), places))
        ours = {
            "client_max_body_size 256m": f"client_max_body_size {MAX_BODY_BYTES}",
            "listen 8080": f"listen 127.0.0.1:{self.http_port}",
            "listen 8081": f"listen 127.0.0.1:{self.grpc_port}",
            "/tmp/": f"{folder}/",
            "/dev/stdout": f"{folder}/access.log",
        }
        (folder / "nginx.conf").write_text(replaced((DEPLOY / "nginx/nginx.conf").read_text(), ours))
        self.folder = folder
        self.command = [tool("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self.errors = (folder / "error.log").open("w")
        self.process = subprocess.Popen([*self.command, "-g", "daemon off;"], stderr=self.errors)
        wait_for(self._listens)

    def _listens(self) -> bool:
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.grpc_port)) == 0

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.errors.close()


class Replica:
    """One server process, which can be killed and started again on the same ports."""

    def __init__(self, start, jobs_path: Path):
        self._start = start
        self._jobs_path = jobs_path
        # HOST:PORT, of free ports at first
        self.address = self.grpc_address = "127.0.0.1:0"
        self.server: ServeProcess = self.launch()

    def launch(self) -> ServeProcess:
        self.server = self._start(
            "--model", "tiny", "--port", self.address.split(":")[1],
            "--grpc-port", self.grpc_address.split(":")[1],
            max_body_bytes=MAX_BODY_BYTES, max_waiting_tokens=800, result_cache_entries=0,
            client_videos_per_s=10, client_burst_videos=150, prefix_cache_bytes=1 << 24,
            jobs_path=self._jobs_path,
        )  # fmt: skip
        return self.server

    def wait_ready(self) -> None:
        self.server.wait_ready(lines=2)
        self.address, self.grpc_address = (line.rsplit("/", 1)[1].strip() for line in self.server.out)

    def kill(self) -> None:
        for one in [self.server.process, *self.server.family]:
            one.kill()
        self.server.wait()

    def count(self, sample: str) -> float:
        """The value of a metric, summed over the series whose text starts like this."""
        lines = httpx.get(f"http://{self.address}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))


@pytest.fixture(scope="package")
def replicas(serve_slow, tmp_path_factory):  # noqa: F811
    started = [Replica(serve_slow, tmp_path_factory.mktemp("jobs") / "jobs.sqlite") for _ in range(2)]
    for one in started:
        one.wait_ready()
    return started


@pytest.fixture(scope="package")
def proxy(replicas, tmp_path_factory):
    made = Proxy(
        tmp_path_factory.mktemp("nginx"), [one.address for one in replicas], [one.grpc_address for one in replicas]
    )
    yield made
    made.end()


@pytest.fixture
def client(proxy):
    with httpx.Client(base_url=proxy.url, timeout=30) as client:
        yield client
