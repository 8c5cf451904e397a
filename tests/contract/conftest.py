"""A server process with both ports, and three clients: over HTTP, over gRPC and in process."""

import pytest

from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from service.local import LocalRewardClient

# small, so that over-large bodies are quick to make
MAX_BODY_BYTES = 8 << 20
MODELS = ["arcface", "tiny", "face-tracks", "compact"]
LIMITS = {
    "IDENTITY_REWARD_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    "IDENTITY_REWARD_MAX_SENT_FRAMES": "64",
    "IDENTITY_REWARD_MAX_GROUP_VIDEOS": "8",
    "IDENTITY_REWARD_MAX_REFERENCES": "3",
}


@pytest.fixture(scope="session")
def server(serve):
    models = [part for name in MODELS for part in ("--model", name)]
    arguments = (*models, "--port", "0", "--grpc-port", "0")
    return serve(*arguments, environment=LIMITS).wait_ready(lines=2)


@pytest.fixture(scope="session")
def clients(server):
    once = RetryPolicy(max_attempts=1)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in LIMITS.items():
            environment.setenv(name, value)
        local = LocalRewardClient(MODELS)
    with (
        SyncRewardClient(HttpRewardClient(server.url, retry=once)) as over_http,
        SyncRewardClient(GrpcRewardClient(server.grpc_url, retry=once)) as over_grpc,
        SyncRewardClient(local) as in_process,
    ):
        yield {"http": over_http, "grpc": over_grpc, "local": in_process}
