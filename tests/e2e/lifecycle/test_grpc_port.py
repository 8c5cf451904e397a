"""The gRPC port of the command: said when ready, checked before, gone afterwards."""

import socket
import time

import grpc
import httpx
import pytest

from identity_reward_client.base import SyncRewardClient
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy


def test_both_ports_serve_and_both_go(serve):
    server = serve("--model", "tiny", "--port", "0", "--grpc-port", "0").wait_ready(lines=2)
    assert server.out[0] == f"serving tiny (default) on {server.url}\n"
    assert server.out[1].startswith("and on grpc://127.0.0.1:")
    target = server.out[1].split()[-1]
    with SyncRewardClient(GrpcRewardClient(target, retry=RetryPolicy(max_attempts=1))) as client:
        assert [model.name for model in client.models()] == ["tiny"]
    with grpc.insecure_channel(target.removeprefix("grpc://")) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/identity_reward.v1.RewardService/Score")(b"\xff")
    text = httpx.get(f"{server.url}/metrics").text
    routes = 'identity_reward_requests_total{route="/identity_reward.v1.RewardService'
    assert f'{routes}/ListModels",status="OK"}} 1.0' in text
    assert f'{routes}/Score",status="INVALID_ARGUMENT"}} 1.0' in text
    asked = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - asked < 8
    assert "".join(server.err) == "", "quiet unless something is wrong"
    host, port = target.removeprefix("grpc://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_a_grpc_port_that_is_taken_is_one_line(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = serve("--model", "tiny", "--port", "0", "--grpc-port", str(port))
        assert server.wait() == 2
    assert server.err == [
        f"identity-reward serve: can't listen on 127.0.0.1 port {port}: Address already in use; "
        "--grpc-port chooses another, 0 a free one\n"
    ]


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--port", "3987", "--grpc-port", "3987"], {}, "can't share port 3987"),
        (
            ["--port", "0", "--grpc-port", "0"],
            {"IDENTITY_REWARD_GRPC_TLS_CERT": "no.pem", "IDENTITY_REWARD_GRPC_TLS_KEY": "no.key"},
            "grpc_tls_cert no.pem can't be read",
        ),
        (["--port", "0"], {"IDENTITY_REWARD_GRPC_TLS_CERT": "no.pem"}, "go together"),
    ],
)
def test_a_wrong_configuration_is_one_line_before_anything_starts(serve, arguments, environment, says):
    server = serve("--model", "tiny", *arguments, environment=environment)
    assert server.wait() == 2
    assert len(server.err) == 1
    assert says in server.err[0]
