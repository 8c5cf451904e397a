"""A real server process on a free port, shared by the session, and clips small enough to send often."""

import base64
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import httpx
import numpy as np
import openpeople
import psutil
import pytest
from PIL import Image

COMMAND = str(Path(sys.executable).parent / "identity-reward")
PEOPLE = Path(openpeople.__file__).parent / "data/curated"
# small, so that over-large bodies are quick to make
MAX_BODY_BYTES = 8 << 20


class ServeProcess:
    """`identity-reward serve` with its output; `family` is every process that it started."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None):
        self.process = psutil.Popen(
            [COMMAND, "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "2", **(environment or {})},
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

    def wait_ready(self, timeout_s: float = 90, lines: int = 1) -> "ServeProcess":
        deadline = time.monotonic() + timeout_s
        while len(self.out) < lines:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {''.join(self.err)}"
            assert time.monotonic() < deadline, f"not ready: {''.join(self.err)}"
            time.sleep(0.05)
        self.url = self.out[0].rsplit(" ", 1)[1].strip()
        self.family = self.process.children(recursive=True)
        return self

    @property
    def grpc_target(self) -> str:
        """HOST:PORT of gRPC, once two lines were waited for."""
        return self.out[1].rsplit("/", 1)[1].strip()

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        try:
            return self.process.wait(timeout_s)
        finally:
            for one in [*self.family, self.process]:
                if one.is_running():
                    one.kill()
            for reader in self._readers:
                reader.join(5)


@pytest.fixture(scope="session")
def serve():
    started = []

    def start(*arguments: str, **options) -> ServeProcess:
        started.append(ServeProcess(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="session")
def server(serve) -> ServeProcess:
    limits = {
        "IDENTITY_REWARD_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "IDENTITY_REWARD_MAX_SENT_FRAMES": "64",
        "IDENTITY_REWARD_RESULT_CACHE_ENTRIES": "0",  # what one test has sent is scored for the next all the same
    }
    return serve("--model", "arcface", "--model", "tiny", "--port", "0", environment=limits).wait_ready()


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client
        assert client.get("/readyz").status_code == 200, "the service doesn't answer any more"


def face(person: str, size: int = 320) -> Image.Image:
    return Image.open(PEOPLE / person / "assets/studio_portrait.jpg").convert("RGB").resize((size, size))


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return file.getvalue()


def b64(data) -> str:
    return base64.b64encode(data).decode()


def pan(person: str, frames: int = 12, size: int = 192) -> np.ndarray:
    """uint8 [T, size, size, 3]: the camera moves over a portrait."""
    picture = np.asarray(face(person, size + 2 * frames))
    return np.stack([picture[t : t + size, 2 * t : 2 * t + size] for t in range(frames)])


def mp4(frames_THWC: np.ndarray, fps: int = 12) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="session")
def reference_jpeg() -> bytes:
    return jpeg(face("P001"))


@pytest.fixture(scope="session")
def other_jpeg() -> bytes:
    return jpeg(face("P002"))


@pytest.fixture(scope="session")
def clip_frames() -> np.ndarray:
    return pan("P001")


@pytest.fixture(scope="session")
def clip_mp4(clip_frames) -> bytes:
    return mp4(clip_frames)


@pytest.fixture(scope="session")
def other_mp4() -> bytes:
    return mp4(pan("P002"))


@pytest.fixture
def score_body(reference_jpeg, clip_mp4) -> dict:
    """A good request of `POST /v1/score` under tiny, fresh for each test."""
    return {"model": "tiny", "references": [{"data": b64(reference_jpeg)}], "video": {"data": b64(clip_mp4)}}


@pytest.fixture(scope="session")
def serve_slow(serve, tmp_path_factory):
    """A server of tests/e2e/slow_model.py; settings by their names."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow_model.py").write_text((Path(__file__).parent / "slow_model.py").read_text())
    (folder / "sitecustomize.py").write_text(
        "from reward_model.registry import SCORERS\nSCORERS['slow'] = 'slow_model:Slow'\n"
    )

    def start(*arguments: str, **settings) -> ServeProcess:
        places = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        named = {f"IDENTITY_REWARD_{name.upper()}": str(value) for name, value in settings.items()}
        # threads instead of processes to decode in: only raw frames are sent here
        environment = {"PYTHONPATH": places, "IDENTITY_REWARD_DECODE_WORKERS": "0", **named}
        return serve("--model", "slow", "--port", "0", *arguments, environment=environment)

    return start


@pytest.fixture(scope="session")
def both(serve_slow) -> ServeProcess:
    """The slow model on both ports: room for eight videos, batches of two, no result kept."""
    server = serve_slow("--grpc-port", "0", max_waiting_tokens=800, max_batch_tokens=200, result_cache_entries=0)
    return server.wait_ready(lines=2)


def grey(level: int, nonce: int = 0) -> dict:
    """A video of one grey frame; `nonce` makes its content another without changing its mean."""
    pixels = np.full((1, 16, 16, 3), level, np.uint8)
    if level < 255:
        pixels[0, 0, nonce % 16] += np.uint8(1 + nonce // 16 % 8)
        pixels[0, 1, nonce % 16] -= np.uint8(1 + nonce // 16 % 8)
    return {"frames": {"shape": list(pixels.shape), "data": b64(pixels.tobytes())}, "fps": 8}


def grey_body(level: int, nonce: int = 0) -> dict:
    reference = {"pixels": {"shape": [1, 1, 3], "data": b64(b"abc")}}
    return {"references": [reference], "video": grey(level, nonce)}
