"""The gRPC methods of identity_reward.proto for client and server, with the messages that only gRPC has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from pydantic import BaseModel

from ..errors import InvalidRequest, InvalidResponse
from ..messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    Message,
    ModelList,
    ReferenceSet,
    ReferenceSetResponse,
    ScoreRequest,
    ScoreResponse,
)
from . import identity_reward_pb2 as pb2
from .codec import from_proto, parse, serialize, to_proto

SERVICE: str = pb2.DESCRIPTOR.services_by_name["RewardService"].full_name
# larger requests are sent in chunks: gRPC's default limit of a message
MAX_UNARY_BYTES = 4 << 20
CHUNK_BYTES = 1 << 20


class ListModelsRequest(Message):
    """A request without fields."""


@dataclass(frozen=True)
class Method:
    """A method of the service, and of its variant `NAMEChunked` whose request is a stream of chunks."""

    name: str
    request: type[Message]
    answer: type[BaseModel]
    # the server sends a stream of events: the items, then the answer
    streams: bool = False
    # there is a chunked variant
    chunkable: bool = True

    @property
    def path(self) -> str:
        """The path of an HTTP/2 request."""
        return f"/{SERVICE}/{self.name}"

    @property
    def chunked_path(self) -> str:
        """The path of the chunked variant."""
        return f"{self.path}Chunked"


SCORE = Method("Score", ScoreRequest, ScoreResponse)
COMPARE = Method("Compare", CompareRequest, CompareResponse)
SCORE_GROUP = Method("ScoreGroup", GroupRequest, GroupResponse, streams=True)
PUT_REFERENCE_SET = Method("PutReferenceSet", ReferenceSet, ReferenceSetResponse)
LIST_MODELS = Method("ListModels", ListModelsRequest, ModelList, chunkable=False)
METHODS = (SCORE, COMPARE, SCORE_GROUP, PUT_REFERENCE_SET, LIST_MODELS)


def chunks(body: bytes) -> Iterator[bytes]:
    """Serialized Chunk messages of a serialized request."""
    view = memoryview(body)
    for start in range(0, max(len(view), 1), CHUNK_BYTES):
        yield pb2.Chunk(data=bytes(view[start : start + CHUNK_BYTES])).SerializeToString()


def read_chunk(data: bytes) -> bytes:
    """The part of a request in a serialized Chunk. InvalidRequest for another message."""
    try:
        return pb2.Chunk.FromString(data).data
    except DecodeError:
        raise InvalidRequest("a part of the request is not an identity_reward.v1.Chunk") from None


def event(content: Item | GroupResponse) -> bytes:
    """A serialized GroupEvent."""
    proto = to_proto(content)
    return serialize(pb2.GroupEvent(item=proto) if isinstance(content, Item) else pb2.GroupEvent(group=proto))


def read_event(data: bytes) -> Item | GroupResponse | None:
    """The content of a serialized GroupEvent; None for a kind of event that only newer servers have."""
    try:
        proto = parse("GroupEvent", data)
    except DecodeError:
        raise InvalidResponse("the answer is not an identity_reward.v1.GroupEvent") from None
    kind = proto.WhichOneof("event")
    if kind is None:
        return None
    return from_proto(Item, proto.item) if kind == "item" else from_proto(GroupResponse, proto.group)
