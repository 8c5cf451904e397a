"""Two replicas of the service behind an nginx process with the shipped configuration, on free ports."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port, is_listening
from tests.support.server import SlowServer
from tests.support.waiting import GENEROUS_S, wait_until

DEPLOY = ROOT / "deploy"
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


def with_changes(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old} isn't in the shipped configuration"
        text = text.replace(old, new)
    return text


class Proxy:
    """nginx with deploy/nginx/*.conf; addresses, the folder of its files and two limits are changed."""

    def __init__(self, folder: Path, http: list[str], grpc: list[str]):
        self.http_port, self.grpc_port = free_port(), free_port()
        self.url, self.grpc = f"http://127.0.0.1:{self.http_port}", f"127.0.0.1:{self.grpc_port}"
        addresses = {f"reward-{n}:3000": address for n, address in enumerate(http)}
        addresses |= {f"reward-{n}:50051": address for n, address in enumerate(grpc)}
        addresses["fail_timeout=10s"] = "fail_timeout=1s"
        (folder / "replicas.conf").write_text(with_changes((DEPLOY / "nginx/replicas.conf").read_text(), addresses))
        changes = {
            "client_max_body_size 256m": f"client_max_body_size {MAX_BODY_BYTES}",
            "listen 8080": f"listen 127.0.0.1:{self.http_port}",
            "listen 8081": f"listen 127.0.0.1:{self.grpc_port}",
            "/tmp/": f"{folder}/",
            "/dev/stdout": f"{folder}/access.log",
        }
        (folder / "nginx.conf").write_text(with_changes((DEPLOY / "nginx/nginx.conf").read_text(), changes))
        self.folder = folder
        self.command = [tool("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self.errors = (folder / "error.log").open("w")
        self.process = subprocess.Popen([*self.command, "-g", "daemon off;"], stderr=self.errors)
        wait_until(self._listens, "nginx listens")

    def _listens(self) -> bool:
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        return is_listening(self.grpc_port)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(GENEROUS_S)
        self.errors.close()


class Replica:
    """One server process, which can be killed and started again on the same ports."""

    def __init__(self, start, jobs_path: Path):
        self._start = start
        self._jobs_path = jobs_path
        # HOST:PORT, of free ports at first
        self.address = self.grpc_address = "127.0.0.1:0"
        self.server: SlowServer = self.launch()

    def launch(self) -> SlowServer:
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
        self.server.kill()

    def count(self, sample: str) -> float:
        """The value of a metric, summed over the series whose text starts with `sample`."""
        lines = httpx.get(f"http://{self.address}/metrics", timeout=GENEROUS_S).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))


@pytest.fixture(scope="package")
def replicas(serve_slow, tmp_path_factory):
    started = [Replica(serve_slow, tmp_path_factory.mktemp("jobs") / "jobs.sqlite") for _ in range(2)]
    for replica in started:
        replica.wait_ready()
    return started


@pytest.fixture(scope="package")
def proxy(replicas, tmp_path_factory):
    http, grpc = [replica.address for replica in replicas], [replica.grpc_address for replica in replicas]
    proxy = Proxy(tmp_path_factory.mktemp("nginx"), http, grpc)
    yield proxy
    proxy.end()


@pytest.fixture
def client(proxy):
    with httpx.Client(base_url=proxy.url, timeout=GENEROUS_S) as client:
        yield client
