"""Servers that many end-to-end tests share."""

import httpx
import pytest

from tests.support.server import ServeProcess, SlowServer
from tests.support.waiting import GENEROUS_S

# small, so that over-large bodies are quick to make
MAX_BODY_BYTES = 8 << 20


@pytest.fixture(scope="session")
def server(serve) -> ServeProcess:
    """arcface (the default) and tiny over HTTP; no result is kept, so that every request is scored."""
    limits = {
        "IDENTITY_REWARD_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "IDENTITY_REWARD_MAX_SENT_FRAMES": "64",
        "IDENTITY_REWARD_RESULT_CACHE_ENTRIES": "0",
    }
    return serve("--model", "arcface", "--model", "tiny", "--port", "0", environment=limits).wait_ready()


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as client:
        yield client
        assert client.get("/readyz").status_code == 200, "the service doesn't answer any more"


@pytest.fixture(scope="session")
def slow_server(serve_slow) -> SlowServer:
    """The slow model over HTTP and gRPC: capacity for eight videos, batches of two, no result kept."""
    server = serve_slow("--grpc-port", "0", max_waiting_tokens=800, max_batch_tokens=200, result_cache_entries=0)
    return server.wait_ready(lines=2)
