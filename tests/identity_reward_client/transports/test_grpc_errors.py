import grpc
import pytest

from identity_reward_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InternalError,
    InvalidResponse,
    Overloaded,
    PayloadTooLarge,
    Unauthenticated,
)
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from tests.identity_reward_client.transports.conftest import QUICK


async def test_error_of_the_server_becomes_the_same_class(grpc_client, grpc_wire, files, references):
    grpc_wire.script.append(InternalError("it broke", details={"stage": "forward", "n": 2}))
    with pytest.raises(InternalError, match="it broke") as caught:
        await grpc_client.score(references, files / "one.mp4")
    assert caught.value.details == {"stage": "forward", "n": 2}
    assert len(grpc_wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!", Overloaded),
        ("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max (9 vs. 4)", PayloadTooLarge),
        ("UNAUTHENTICATED", "who?", Unauthenticated),
        ("UNAVAILABLE", "upstream connect error", ConnectionFailed),
        ("CANCELLED", "", ConnectionFailed),
        ("UNKNOWN", "x", InvalidResponse),
        ("NOT_FOUND", "x", InvalidResponse),
    ],
)
async def test_status_without_details_of_this_api_becomes_an_error_by_code(
    grpc_wire, files, status, text, expected, references
):
    client = GrpcRewardClient(grpc_wire.target, retry=RetryPolicy(max_attempts=1))
    grpc_wire.script.append((getattr(grpc.StatusCode, status), text))
    with pytest.raises(expected):
        await client.score(references, files / "one.mp4")
    await client.close()


async def test_missing_method_is_an_invalid_response():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = GrpcRewardClient(f"127.0.0.1:{port}", retry=QUICK)
    with pytest.raises(InvalidResponse, match="UNIMPLEMENTED"):
        await client.models()
    await client.close()
    await server.stop(0)


async def test_refused_connection_names_the_address_and_how_to_start_a_server(unused_tcp_port, files, references):
    client = GrpcRewardClient(f"127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(max_attempts=2, base_s=0))
    with pytest.raises(ConnectionFailed, match=rf"127.0.0.1:{unused_tcp_port}.*`identity-reward serve"):
        await client.score(references, files / "one.mp4")
    await client.close()


async def test_timeout_is_deadline_exceeded(grpc_wire, files, references):
    grpc_wire.delay_s = 5
    client = GrpcRewardClient(grpc_wire.target, timeout_s=0.2, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        await client.score(references, files / "one.mp4")
    await client.close()


async def test_grpcs_to_a_port_without_tls_says_to_try_grpc(grpc_wire):
    client = GrpcRewardClient(f"grpcs://{grpc_wire.target}", retry=QUICK)
    with pytest.raises(InvalidResponse, match=f"does not speak TLS; try grpc://{grpc_wire.target}"):
        await client.models()
    await client.close()
