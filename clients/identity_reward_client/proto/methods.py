"""The methods of identity_reward.proto for both sides, and the two messages that exist only on this wire."""

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
from .codec import from_proto, parse, serialized, to_proto

SERVICE: str = pb2.DESCRIPTOR.services_by_name["RewardService"].full_name
# larger requests go in chunks: what gRPC's own limit takes, unless a server raised it
MAX_UNARY_BYTES = 4 << 20
CHUNK_BYTES = 1 << 20


class ListModelsRequest(Message):
    """Nothing to say."""


@dataclass(frozen=True)
class Method:
    name: str
    request: type[Message]
    answer: type[BaseModel]
    # the answer is a stream of events: items, then the answer itself
    streams: bool = False
    # there is a twin whose request comes in chunks
    chunkable: bool = True

    @property
    def path(self) -> str:
        return f"/{SERVICE}/{self.name}"

    @property
    def chunked_path(self) -> str:
        return f"{self.path}Chunked"


SCORE = Method("Score", ScoreRequest, ScoreResponse)
COMPARE = Method("Compare", CompareRequest, CompareResponse)
SCORE_GROUP = Method("ScoreGroup", GroupRequest, GroupResponse, streams=True)
PUT_REFERENCE_SET = Method("PutReferenceSet", ReferenceSet, ReferenceSetResponse)
LIST_MODELS = Method("ListModels", ListModelsRequest, ModelList, chunkable=False)
METHODS = (SCORE, COMPARE, SCORE_GROUP, PUT_REFERENCE_SET, LIST_MODELS)


def chunks(body: bytes) -> Iterator[bytes]:
    """Serialized Chunks of a serialized request."""
    view = memoryview(body)
    for at in range(0, max(len(view), 1), CHUNK_BYTES):
        yield pb2.Chunk(data=bytes(view[at : at + CHUNK_BYTES])).SerializeToString()


def read_chunk(data: bytes) -> bytes:
    try:
        return pb2.Chunk.FromString(data).data
    except DecodeError:
        raise InvalidRequest("a part of the request is no identity_reward.v1.Chunk") from None


def event(known: Item | GroupResponse) -> bytes:
    made = to_proto(known)
    return serialized(pb2.GroupEvent(item=made) if isinstance(known, Item) else pb2.GroupEvent(group=made))


def read_event(data: bytes) -> Item | GroupResponse | None:
    """None for an event of a newer server."""
    try:
        found = parse("GroupEvent", data)
    except DecodeError:
        raise InvalidResponse("the answer is no identity_reward.v1.GroupEvent") from None
    which = found.WhichOneof("event")
    if which is None:
        return None
    return from_proto(Item, found.item) if which == "item" else from_proto(GroupResponse, found.group)
