"""The HTTP test server, and small images and clips."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn
from hypothesis import settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.identity_reward_client.transports.servers.http_wire import HttpWire
from tests.support.waiting import wait_until

# a busy machine is no failure of a property
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def served():
    """The one HTTP server of the session; `served.wire` answers."""
    served = SimpleNamespace(wire=None)

    async def answer(request: Request) -> Response:
        return await served.wire.answer(request)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "PUT", "DELETE"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the test's server has started")
    host, port = server.servers[0].sockets[0].getsockname()
    served.url = f"http://{host}:{port}"
    yield served
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def wire(served):
    served.wire = HttpWire()
    served.wire.url = served.url
    return served.wire


@pytest.fixture
def clip():
    """33 frames of 24 x 40; frame t has grey level t."""
    return np.broadcast_to(np.arange(33, dtype=np.uint8)[:, None, None, None], (33, 24, 40, 3)).copy()


@pytest.fixture
def image():
    return np.full((20, 16, 3), 7, dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    """A folder with two reference images and three videos, of which the test servers read only the bytes."""
    for name in ("a.jpg", "b.jpg", "one.mp4", "two.mp4", "three.mp4"):
        (tmp_path / name).write_bytes(f"bytes of {name}".encode())
    return tmp_path


@pytest.fixture
def references(files):
    return [files / "a.jpg", files / "b.jpg"]
