"""Errors through google.rpc.Status and back."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from identity_reward_client.errors import (
    Conflict,
    InvalidMedia,
    NotReady,
    Overloaded,
    RateLimited,
    UnknownError,
    server_errors,
)
from identity_reward_client.proto.status import from_details, to_status


@pytest.mark.parametrize("kind", server_errors(), ids=lambda kind: kind.code)
def test_error_survives_the_round_trip(kind):
    status = to_status(kind("because", details={"limit": "x", "maximum": 3, "half": 0.5}))
    assert status.code == getattr(grpc.StatusCode, kind.grpc_status).value[0]
    back = from_details(status.SerializeToString())
    assert type(back) is kind
    assert (back.message, back.details) == ("because", {"limit": "x", "maximum": 3, "half": 0.5})
    assert back.retryable == kind.retryable


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Overloaded("busy", retry_after_s=7.5), 7.5),
        (Overloaded("busy", retry_after_s=0.01), 1.0),
        (Overloaded("busy"), 1.0),
        (RateLimited("slow"), 1.0),
        (NotReady("soon"), 1.0),
        (InvalidMedia("no"), None),
        (Conflict("twice"), None),
    ],
)
def test_retry_info_has_at_least_one_second(error, seconds):
    assert from_details(to_status(error).SerializeToString()).retry_after_s == seconds


def test_long_details_and_messages_are_cut_to_fit_metadata():
    status = to_status(InvalidMedia("x" * 100_000, details={"given": list(range(10_000))}))
    assert status.ByteSize() < 4096
    assert from_details(status.SerializeToString()).details == {}


def test_code_of_a_newer_server_is_kept():
    info = error_details_pb2.ErrorInfo(reason="brand_new", domain="identity_reward.v1", metadata={"retryable": "true"})
    status = status_pb2.Status(code=8, message="later")
    status.details.add().Pack(info)
    back = from_details(status.SerializeToString())
    assert isinstance(back, UnknownError)
    assert back.retryable


@pytest.mark.parametrize(
    "data", [b"\xff", b"", status_pb2.Status(code=3, message="a proxy's").SerializeToString()], ids=str
)
def test_details_of_another_api_are_ignored(data):
    assert from_details(data) is None
