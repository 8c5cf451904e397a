"""Fixtures for every test: server processes, which end with the session, and media small enough to send often."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.support.media import b64, encode_jpeg, encode_video, panned_portrait, portrait
from tests.support.server import ServeProcess, SlowServer


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., ServeProcess]]:
    """Start a server of given arguments and environment; it may still be loading."""
    started: list[ServeProcess] = []

    def start(*arguments: str, **options) -> ServeProcess:
        started.append(ServeProcess(*arguments, **options))
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture(scope="session")
def serve_slow(tmp_path_factory) -> Iterator[Callable[..., SlowServer]]:
    """Start a server of the slow model; settings by their names."""
    started: list[SlowServer] = []

    def start(*arguments: str, **settings) -> SlowServer:
        started.append(SlowServer(tmp_path_factory.mktemp("gate"), *arguments, **settings))
        return started[-1]

    yield start
    for server in started:
        server.gate.open()
        server.end()


@pytest.fixture(scope="session")
def reference_jpeg() -> bytes:
    return encode_jpeg(portrait("P001"))


@pytest.fixture(scope="session")
def other_jpeg() -> bytes:
    return encode_jpeg(portrait("P002"))


@pytest.fixture(scope="session")
def clip_frames() -> np.ndarray:
    """uint8 [12, 192, 192, 3] of the person of `reference_jpeg`."""
    return panned_portrait("P001")


@pytest.fixture(scope="session")
def clip_mp4(clip_frames) -> bytes:
    return encode_video(clip_frames)


@pytest.fixture(scope="session")
def other_mp4() -> bytes:
    """A clip of the person of `other_jpeg`."""
    return encode_video(panned_portrait("P002"))


@pytest.fixture
def score_body(reference_jpeg, clip_mp4) -> dict:
    """A good request of `POST /v1/score` under tiny, fresh for each test."""
    return {"model": "tiny", "references": [{"data": b64(reference_jpeg)}], "video": {"data": b64(clip_mp4)}}
