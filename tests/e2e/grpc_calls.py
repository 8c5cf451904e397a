"""Plain gRPC calls of a server of the slow model, and how they end."""

from collections.abc import Iterator

import grpc

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import GroupRequest, ScoreRequest
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.methods import METHODS
from identity_reward_client.proto.status import DETAILS_KEY, from_details
from tests.support.grey_videos import grey_request, grey_video

# every method's path, and that of its twin in chunks
PATHS = [path for method in METHODS for path in (method.path, method.chunked_path)[: 1 + method.chunkable]]


def score_request(level: int, nonce: int = 0) -> pb2.ScoreRequest:
    return to_proto(ScoreRequest.model_validate(grey_request(level, nonce)))


def group_request(*levels: int) -> pb2.GroupRequest:
    videos = [grey_video(level) for level in levels]
    return to_proto(GroupRequest.model_validate({"references": grey_request(0)["references"], "videos": videos}))


def chunked(request: bytes, size: int = 100) -> Iterator[pb2.Chunk]:
    return (pb2.Chunk(data=request[at : at + size]) for at in range(0, len(request), size))


def status_and_error(error: grpc.RpcError) -> tuple[grpc.StatusCode, RewardError | None]:
    """The status, and the error in its details; None where the details are not the service's."""
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    return error.code(), None if details is None else from_details(details)
