"""Conversion between messages.py and identity_reward.proto.

Fields are matched by name, so that a new field needs a line in the .proto and none here. Protobuf becomes plain values,
which pydantic validates as it does JSON. The two differ in these fields:

    references        pictures or reference_set_id
    fps of a Video    fps, or fps_compat = true for "compat"
    details           details_json
    lists that are optional, nested or hold gaps: a message with one field around them
    dtype of Pixels   only in the .proto, and only uint8
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.message import Message as Proto
from google.protobuf.unknown_fields import UnknownFieldSet
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from ..errors import InvalidRequest, InvalidResponse, PayloadTooLarge
from ..fields.fps import COMPAT
from ..messages import Message
from ..wire.validation import explain, raise_invalid_request
from . import identity_reward_pb2 as pb2

# messages of the .proto that wrap one field; messages.py has the field alone
WRAPPERS = frozenset({"Pictures", "Indices", "Matrix", "Row", "Cell"})
# fields of the .proto with another name in messages.py
RENAMED = {"pictures": "references", "reference_set_id": "references", "fps_compat": "fps"}
_JSON = "_json"
_UINT8 = "uint8"

R = TypeVar("R", bound=Message)
B = TypeVar("B", bound=BaseModel)


def to_proto(message: BaseModel) -> Any:
    """The message of the same name in the .proto. InvalidRequest if a number is too large for it."""
    proto = getattr(pb2, type(message).__name__)()
    try:
        _fill(proto, message)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{type(message).__name__} cannot be sent as protobuf: {error}") from None
    return proto


def to_bytes(message: BaseModel) -> bytes:
    """The serialized message of the same name in the .proto."""
    return serialize(to_proto(message))


def serialize(proto: Any) -> bytes:
    """The bytes of a protobuf message. PayloadTooLarge from 2 GiB on, which is protobuf's limit."""
    try:
        data: bytes = proto.SerializeToString()
        return data
    except (EncodeError, ValueError):
        raise PayloadTooLarge("a protobuf message is smaller than 2 GiB; send fewer or smaller videos") from None


def read_request(kind: type[R], data: bytes) -> R:
    """The request in `data`. InvalidRequest if it is not this message, or has unknown fields."""
    try:
        proto = parse(kind.__name__, data)
    except DecodeError:
        raise InvalidRequest(f"the request is not an identity_reward.v1.{kind.__name__}") from None
    unknown = next(_unknown_fields(proto, ""), None)
    if unknown is not None:
        raise InvalidRequest(f"unknown field {unknown}: is the caller's .proto newer than this server?")
    with raise_invalid_request():
        return kind(**plain(proto))


def read_response(kind: type[B], data: bytes) -> B:
    """The response in `data`; unknown fields, of a newer server, are ignored. InvalidResponse for another message."""
    try:
        return from_proto(kind, parse(kind.__name__, data))
    except DecodeError:
        raise InvalidResponse(f"the answer is not an identity_reward.v1.{kind.__name__}") from None


def from_proto(kind: type[B], proto: Any) -> B:
    """The response of the same name in messages.py. InvalidResponse if a field is missing or wrong."""
    try:
        return kind(**plain(proto))
    except (ValidationError, InvalidRequest) as error:
        reason = explain(error, max_findings=1) if isinstance(error, ValidationError) else error.message
        raise InvalidResponse(f"the answer is not a whole {kind.__name__}: {reason}") from None


def parse(name: str, data: bytes) -> Any:
    """The protobuf message `name` in `data`. Raises protobuf's DecodeError."""
    return getattr(pb2, name).FromString(data)


def _fill(target: Proto, source: Any) -> None:
    if target.DESCRIPTOR.name in WRAPPERS:
        if source is not None:
            _set(target, target.DESCRIPTOR.fields[0].name, source)
        return
    for name in type(source).model_fields if isinstance(source, BaseModel) else _names(source):
        value = getattr(source, name)
        if value is not None:
            _set(target, *_renamed(target, name, value))
    if target.DESCRIPTOR.name == "Pixels":
        target.dtype = _UINT8  # type: ignore[attr-defined]


def _names(source: Any) -> list[str]:
    if not is_dataclass(source):
        raise TypeError(f"{type(source).__name__} is not a message")
    return [field.name for field in fields(source)]


def _renamed(target: Proto, name: str, value: Any) -> tuple[str, Any]:
    if name == "references":
        return "reference_set_id" if isinstance(value, str) else "pictures", value
    if name == "fps" and value == COMPAT:
        return "fps_compat", True
    if name + _JSON in target.DESCRIPTOR.fields_by_name:
        return name + _JSON, to_json(value, inf_nan_mode="null").decode()
    return name, value


def _set(target: Any, name: str, value: Any) -> None:
    field = target.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise TypeError(f"{target.DESCRIPTOR.name} of the .proto has no {name}")
    if field.message_type is not None and field.is_repeated:
        for element in value:
            _fill(getattr(target, name).add(), element)
    elif field.message_type is not None:
        getattr(target, name).SetInParent()
        _fill(getattr(target, name), value)
    elif field.is_repeated:
        getattr(target, name).extend(value)
    else:
        setattr(target, name, bytes(value) if field.type == FieldDescriptor.TYPE_BYTES else value)


def plain(proto: Any) -> Any:
    """The fields that are present, as values that pydantic validates."""
    if proto.DESCRIPTOR.name in WRAPPERS:
        return _value(proto, proto.DESCRIPTOR.fields[0])
    values = {}
    for field in proto.DESCRIPTOR.fields:
        value = _value(proto, field)
        if value is None:
            continue
        name = RENAMED.get(field.name, field.name)
        if field.name.endswith(_JSON):
            name, value = field.name.removesuffix(_JSON), _object(field.name, value)
        elif field.name == "fps_compat":
            if not value:
                continue
            value = COMPAT
        elif field.name == "dtype" and proto.DESCRIPTOR.name == "Pixels":
            if value not in ("", _UINT8):
                raise InvalidRequest(f"pixels are {_UINT8}, got dtype {value[:20]!r}")
            continue
        values[name] = value
    return values


def _value(proto: Any, field: FieldDescriptor) -> Any:
    if field.has_presence and not proto.HasField(field.name):
        return None
    value = getattr(proto, field.name)
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [plain(element) for element in value] if field.is_repeated else plain(value)


def _object(name: str, text: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidRequest(f"{name} is not JSON: {error}") from None


def _unknown_fields(proto: Any, prefix: str) -> Iterator[str]:
    """Fields that the .proto does not have, as paths of names and field numbers."""
    for unknown in UnknownFieldSet(proto):  # type: ignore[attr-defined]  # iterable, which its stubs do not say
        yield f"{prefix}{unknown.field_number}"
    for field in proto.DESCRIPTOR.fields:
        if field.message_type is None or (field.has_presence and not proto.HasField(field.name)):
            continue
        value = getattr(proto, field.name)
        for element in value if field.is_repeated else [value]:
            yield from _unknown_fields(element, f"{prefix}{field.name}.")
