"""A gRPC server around a real engine, and helpers of its tests."""

import grpc
import pytest

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import ScoreRequest
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.status import DETAILS_KEY, from_details
from service.grpc.interceptors import anyone
from service.grpc.server import GrpcServer


@pytest.fixture
async def start(make_engine):
    """Starts an engine and a server around it; the server gets its `engine` and its `address`."""
    servers = []

    async def started(authenticate=anyone, **settings) -> GrpcServer:
        engine = make_engine(grpc_port=0, **settings)
        server = GrpcServer(engine, engine.settings, engine.metrics, authenticate)
        servers.append(server)
        server.engine, server.address = engine, await server.start()
        return server

    yield started
    for server in servers:
        await server.stop()


@pytest.fixture
async def server(start) -> GrpcServer:
    return await start()


@pytest.fixture
async def connect():
    channels = []

    def connected(server, **options) -> grpc.aio.Channel:
        channels.append(grpc.aio.insecure_channel(server.address, list(options.items())))
        return channels[-1]

    yield connected
    for channel in channels:
        await channel.close()


@pytest.fixture
def score_request(reference, video):
    return to_proto(ScoreRequest(references=[reference()], video=video(51)))


def blocked(server):
    """The server's scorer, blocked in its forward pass until its `open` is set, for 10 s at most."""
    scorer = server.engine._models.find(None).scorer
    scorer.open.clear()
    return scorer


def counted(server, name: str, **labels) -> float:
    return server.engine.metrics.registry.get_sample_value(f"identity_reward_{name}", labels) or 0.0


async def failure(call) -> tuple[grpc.StatusCode, RewardError | None]:
    """The status that a call fails with, and the error in its details."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = dict(caught.value.trailing_metadata() or ()).get(DETAILS_KEY)
    return caught.value.code(), None if details is None else from_details(details)
