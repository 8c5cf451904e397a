"""The gRPC port of the command: announced when ready, counted in the metrics, closed at the end."""

import socket
import time

import grpc
import httpx
import pytest

from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from tests.support.ports import address_of
from tests.support.waiting import GENEROUS_S, wait_until


def test_both_ports_are_served_and_both_are_closed(serve):
    server = serve("--model", "tiny", "--port", "0", "--grpc-port", "0").wait_ready(lines=2)
    assert server.out[0] == f"serving tiny (default) on {server.url}\n"
    assert server.out[1].startswith("and on grpc://127.0.0.1:")
    with SyncRewardClient(GrpcRewardClient(server.grpc_url, retry=RetryPolicy(max_attempts=1))) as client:
        assert [model.name for model in client.models()] == ["tiny"]
    with grpc.insecure_channel(server.grpc_target) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/identity_reward.v1.RewardService/Score")(b"\xff")
    routes = 'identity_reward_requests_total{route="/identity_reward.v1.RewardService'
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as http:
        for call in ('/ListModels",status="OK"', '/Score",status="INVALID_ARGUMENT"'):
            # a call is counted after its status was sent
            wait_until(lambda call=call: f"{routes}{call}}} 1.0" in http.get("/metrics").text)
    stopped = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - stopped < 8, "an idle server does not wait for its drain timeout"
    assert "".join(server.err) == "", "quiet unless something is wrong"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address_of(server.grpc_target))
