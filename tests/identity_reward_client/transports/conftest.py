"""Clients of the test servers over HTTP and gRPC."""

import grpc
import pytest

from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from tests.identity_reward_client.transports.servers.grpc_wire import GrpcWire

QUICK = RetryPolicy(base_s=0.01, max_delay_s=0.02)


@pytest.fixture
async def client(wire):
    client = HttpRewardClient(wire.url, retry=QUICK)
    yield client
    await client.close()


@pytest.fixture
async def grpc_wire():
    wire = GrpcWire()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 5 << 20)])
    server.add_generic_rpc_handlers((wire.handlers(),))
    wire.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield wire
    await server.stop(0)


@pytest.fixture
async def grpc_client(grpc_wire):
    client = GrpcRewardClient(grpc_wire.target, retry=QUICK, timeout_s=20)
    yield client
    await client.close()
