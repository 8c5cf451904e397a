"""Plain gRPC calls of a server of the slow model, how they end, and what the server counts meanwhile."""

import re
import time
from collections.abc import Callable, Iterator

import grpc
import httpx

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import GroupRequest, ReferenceSet, ScoreRequest
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.methods import METHODS
from identity_reward_client.proto.status import DETAILS_KEY, from_details
from tests.e2e.conftest import grey, grey_body

# every method's path, and that of its twin in chunks
PATHS = [path for method in METHODS for path in (method.path, method.chunked_path)[: 1 + method.chunkable]]


def score(level: int, nonce: int = 0) -> pb2.ScoreRequest:
    return to_proto(ScoreRequest.model_validate(grey_body(level, nonce)))


def group(*levels: int) -> pb2.GroupRequest:
    references = grey_body(0)["references"]
    return to_proto(GroupRequest.model_validate({"references": references, "videos": [grey(one) for one in levels]}))


def references() -> pb2.ReferenceSet:
    return to_proto(ReferenceSet.model_validate({"images": grey_body(0)["references"]}))


def chunked(request: bytes, size: int = 100) -> Iterator[pb2.Chunk]:
    return (pb2.Chunk(data=request[at : at + size]) for at in range(0, len(request), size))


def refused(error: grpc.RpcError) -> tuple[grpc.StatusCode, RewardError | None]:
    """The status, and what its details say; None where there are none of ours."""
    told = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    return error.code(), None if told is None else from_details(told)


def metric(url: str, name: str) -> float:
    """The sum of a metric over its labels."""
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return sum(map(float, re.findall(rf"^identity_reward_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))


def until(true: Callable[[], bool], what: str, timeout_s: float = 10.0) -> float:
    """Seconds until it was so."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < timeout_s, what
        time.sleep(0.01)
    return time.monotonic() - started


def free(url: str) -> bool:
    """Whether the server holds nothing for anybody."""
    return metric(url, "waiting_tokens") == 0 and metric(url, "body_bytes") == 0
