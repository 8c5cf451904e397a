"""Every field of messages.py has a counterpart in the .proto, and survives the round trip."""

import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import get_args, get_origin

import pytest
from google.protobuf.descriptor import FieldDescriptor
from pydantic import BaseModel

from identity_reward_client import messages
from identity_reward_client.errors import InvalidRequest, InvalidResponse
from identity_reward_client.fields.warnings import ScoreWarning
from identity_reward_client.frame_sampling import FrameSampling, PixelRule
from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    ErrorBody,
    GroupRequest,
    GroupResponse,
    Image,
    Item,
    ModelInfo,
    ModelList,
    ModelStamp,
    Pixels,
    ReferenceSet,
    ReferenceSetResponse,
    Scored,
    ScoreRequest,
    ScoreResponse,
    Timing,
    Video,
)
from identity_reward_client.preference import Preference
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import RENAMED, WRAPPERS, read_request, read_response, to_bytes, to_proto
from identity_reward_client.proto.methods import METHODS

PIXELS = Pixels(shape=[1, 2, 3], data=bytes(range(6)))
FRAMES = Pixels(shape=[2, 1, 1, 3], data=memoryview(bytes(range(6))))
PICTURES = [Image(data=b"jpeg"), Image(pixels=PIXELS), Image(url="https://x/y"), Image(path="a.png")]
VIDEOS = [
    Video(data=b"\x00mp4", fps=12.5),
    Video(frames=FRAMES, fps="compat", num_source_frames=9, frame_indices=[0, 8]),
    Video(images=PICTURES, fps=0.1),
    Video(images=[], fps=1, num_source_frames=0, frame_indices=[]),
    Video(url="https://x/y"),
    Video(path="clip.mp4"),
    Video(id="sha256:" + "a" * 64),
]
SET_ID = "sha256:" + "0" * 64
STAMP = ModelStamp(name="n", version="v", fingerprint="f", domain="d", frame_sampling="s", prompt_used=False)
TIMING = Timing(queue_ms=1.1, decode_ms=2.2, preprocess_ms=3.3, forward_ms=4.4, total_ms=1e-300)
# an int stays an int, a double keeps every bit, text its letters
DETAILS = {"people": [{"similarity": 0.1 + 0.2, "frames": 4, "name": "Ünä"}], "none": None, "yes": True, "z": -0.0}
WARNINGS = [
    ScoreWarning(code="still_video", message="it does not move: Ü"),
    ScoreWarning(code="of_a_newer_server", message="", reference_index=0),
]
SCORED = Scored(
    reward=-0.1, fps=23.976, num_source_frames=1 << 40, frame_indices=[0, 3, 3], details=DETAILS, video_id=SET_ID,
    warnings=WARNINGS, spread=0.1 + 0.2,
)  # fmt: skip
ERROR = ErrorBody(code="invalid_media", message="no", retryable=True, details={"limit": 3, "of": 0.5})
INFO = ModelInfo(
    **STAMP.model_dump(exclude={"frame_sampling"}), description="x", default=True, meaningful=False, max_references=3,
    frame_sampling=FrameSampling(
        "s", num_frames=4, min_frames=2, max_frames=9, frame_factor=2, frame_pixels=PixelRule(1, 2, "pillow", True),
        reference_pixels=PixelRule(3, 4), compat_fps=10.0, reference_files="as-stored",
    ),
    preference_scale=0.3, num_parameters=3_000_000_000, dtype="float32", device="cuda:1",
)  # fmt: skip
MESSAGES = [
    ScoreRequest(references=PICTURES, video=VIDEOS[0], prompt="two", model="m", details=True),
    ScoreRequest(references=SET_ID, video=VIDEOS[1], prompt=""),
    CompareRequest(references=SET_ID, video_a=VIDEOS[2], video_b=VIDEOS[3], prompt="p", model="m", theta=1.0000000001),
    GroupRequest(references=PICTURES, videos=VIDEOS, prompt="p", model="m", matrices=True, theta=3),
    ReferenceSet(images=PICTURES),
    ReferenceSetResponse(id=SET_ID, num_references=3),
    ScoreResponse(**SCORED.model_dump(), request_id="r", model=STAMP, timing=TIMING),
    CompareResponse(
        request_id="r", model=STAMP, a=SCORED, b=SCORED.model_copy(update={"details": None}), theta=5.0,
        p_a_wins=1 / 3, p_tie=1 / 3, p_b_wins=1 / 3, verdict=Preference.TIE, timing=TIMING,
    ),
    GroupResponse(
        request_id="r", model=STAMP, items=[Item(index=0, scored=SCORED), Item(index=1, error=ERROR)], theta=5.0,
        win=[[1 / 6, None], [None, None]], tie=[[2 / 3, None], [0.0, 5e-324]], timing=TIMING,
    ),
    GroupResponse(request_id="", model=STAMP, items=[], theta=5.0, win=[], timing=TIMING),
    ModelList(models=[INFO, INFO.model_copy(update={"frame_sampling": FrameSampling("fps", fps=2.0)})]),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_survives_the_round_trip(message):
    read = read_request if isinstance(message, messages.Message) else read_response
    back = read(type(message), to_bytes(message))
    assert back == message
    assert back.model_dump_json() == message.model_dump_json()


def test_examples_set_every_field_of_every_message():
    seen: dict[type, set[str]] = {}

    def walk(value):
        if isinstance(value, list | tuple):
            for element in value:
                walk(element)
        elif isinstance(value, BaseModel) or is_dataclass(value):
            for name in names(type(value)):
                held = getattr(value, name)
                if held is not None:
                    seen.setdefault(type(value), set()).add(name)
                walk(held)

    walk(MESSAGES)
    assert {kind: names(kind) - fields for kind, fields in seen.items() if names(kind) != fields} == {}
    assert set(seen) == reachable()


def names(kind: type) -> set[str]:
    return set(kind.model_fields) if issubclass(kind, BaseModel) else {field.name for field in fields(kind)}


def reachable() -> set[type]:
    """Every message and dataclass that a method's request or answer can hold."""
    kinds: set[type] = set()

    def visit(kind):
        if get_origin(kind) in (list, dict, UnionType) or get_args(kind):
            for argument in get_args(kind):
                visit(argument)
        elif isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind)) and kind not in kinds:
            kinds.add(kind)
            if issubclass(kind, BaseModel):
                inner = [field.annotation for field in kind.model_fields.values()]
            else:
                inner = [PixelRule] if kind is FrameSampling else []
            for annotation in inner:
                visit(annotation)

    for method in METHODS:
        visit(method.request)
        visit(method.answer)
    return {kind for kind in kinds if names(kind)}


def in_proto(kind: type) -> set[str]:
    """The fields of the .proto under the names that they have in messages.py."""
    descriptor = pb2.DESCRIPTOR.message_types_by_name[kind.__name__]
    own = {RENAMED.get(name, name).removesuffix("_json") for name in descriptor.fields_by_name}
    return own - ({"dtype"} if kind is Pixels else set())


@pytest.mark.parametrize("kind", sorted(reachable(), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_message_and_proto_have_the_same_fields(kind):
    assert in_proto(kind) == names(kind), "a field of messages.py and one of the .proto go together: make proto"


def test_every_message_of_the_proto_has_a_counterpart():
    expected = {kind.__name__ for kind in reachable()} | WRAPPERS | {"Chunk", "GroupEvent", "ListModelsRequest"}
    assert set(pb2.DESCRIPTOR.message_types_by_name) == expected


def test_numbers_of_responses_have_presence_in_the_proto():
    for name, message in pb2.DESCRIPTOR.message_types_by_name.items():
        for field in message.fields:
            if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_INT64):
                assert field.has_presence or field.is_repeated, f"{name}.{field.name}"


@pytest.mark.parametrize("field", ["reward", "fps", "num_source_frames"])
def test_response_without_a_required_number_is_invalid(field):
    proto = to_proto(MESSAGES[6])
    proto.ClearField(field)
    with pytest.raises(InvalidResponse, match=field):
        read_response(ScoreResponse, proto.SerializeToString())


def test_nan_reward_survives_decoding_for_the_client_to_refuse():
    proto = to_proto(MESSAGES[6])
    proto.reward = math.nan
    assert math.isnan(read_response(ScoreResponse, proto.SerializeToString()).reward)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff\xff", "not an identity_reward.v1.ScoreRequest"),
        (b"\x1a\x02\xff\xfe", "not an identity_reward.v1.ScoreRequest"),  # a prompt that is no UTF-8
        (b"\xf8\x07\x01", "unknown field 127"),
        (b"\x32\x03\xf8\x07\x01", "unknown field video.127"),
        (b"", "references: Field required"),
        (pb2.ScoreRequest(reference_set_id="nope", video=pb2.Video(data=b"x")).SerializeToString(), "references"),
        (pb2.ScoreRequest(pictures=pb2.Pictures(), video=pb2.Video(data=b"x")).SerializeToString(), "references"),
        (pb2.ScoreRequest(reference_set_id=SET_ID, video=pb2.Video()).SerializeToString(), "exactly one of data"),
        (
            pb2.ScoreRequest(
                reference_set_id=SET_ID,
                video=pb2.Video(frames=pb2.Pixels(shape=[1, 1, 1, 3], data=b"abc", dtype="float32")),
            ).SerializeToString(),
            "pixels are uint8, got dtype 'float32'",
        ),
    ],
)  # fmt: skip
def test_malformed_request_is_refused_with_a_reason(data, message):
    with pytest.raises(InvalidRequest, match=message):
        read_request(ScoreRequest, data)


def test_response_of_a_newer_server_is_read():
    assert read_response(ScoreResponse, to_bytes(MESSAGES[6]) + b"\xf8\x07\x01") == MESSAGES[6]


def test_count_too_large_for_protobuf_is_refused():
    video = Video(frames=FRAMES, fps=1, num_source_frames=1 << 70, frame_indices=[0])
    with pytest.raises(InvalidRequest, match="protobuf"):
        to_bytes(ScoreRequest(references=SET_ID, video=video))
