"""messages.py <-> identity_reward.proto, by name, so that a new field needs a line in the .proto and none here.

The same validation stands behind both wires: what comes in as protobuf becomes plain values, of which pydantic makes
the message. Where the two differ in shape:

    references        pictures or reference_set_id
    fps of a Video    fps, or fps_compat = true for "compat"
    details           details_json
    lists that may be absent or hold lists or gaps: a message with one field around them
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
from ..fps import COMPAT
from ..messages import Message
from ..wire.validation import explain, refusing
from . import identity_reward_pb2 as pb2

# messages of the .proto around one field, which alone is there in messages.py
WRAPPERS = frozenset({"Pictures", "Indices", "Matrix", "Row", "Cell"})
# fields of the .proto that stand for one of another name
RENAMED = {"pictures": "references", "reference_set_id": "references", "fps_compat": "fps"}
_JSON = "_json"
_UINT8 = "uint8"

R = TypeVar("R", bound=Message)
B = TypeVar("B", bound=BaseModel)


def to_proto(message: BaseModel) -> Any:
    """The message of the same name in the .proto; InvalidRequest where a number is too large for it."""
    made = getattr(pb2, type(message).__name__)()
    try:
        _fill(made, message)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{type(message).__name__} can't be sent as protobuf: {error}") from None
    return made


def to_bytes(message: BaseModel) -> bytes:
    return serialized(to_proto(message))


def serialized(made: Any) -> bytes:
    try:
        return made.SerializeToString()
    except (EncodeError, ValueError):
        raise PayloadTooLarge("protobuf carries less than 2 GiB; send fewer or smaller videos at a time") from None


def read_request(kind: type[R], data: bytes) -> R:
    """What a caller sent; InvalidRequest for anything that isn't this message, unknown fields included."""
    try:
        found = parse(kind.__name__, data)
    except DecodeError:
        raise InvalidRequest(f"the request is no identity_reward.v1.{kind.__name__}") from None
    unknown = next(_unknown(found, ""), None)
    if unknown is not None:
        raise InvalidRequest(f"unknown field {unknown}: is the caller's .proto newer than this server?")
    with refusing():
        return kind(**plain(found))


def read_answer(kind: type[B], data: bytes) -> B:
    """What a server answered; fields of a newer one are ignored. InvalidResponse where it isn't this message."""
    try:
        return from_proto(kind, parse(kind.__name__, data))
    except DecodeError:
        raise InvalidResponse(f"the answer is no identity_reward.v1.{kind.__name__}") from None


def from_proto(kind: type[B], found: Any) -> B:
    try:
        return kind(**plain(found))
    except (ValidationError, InvalidRequest) as error:
        why = explain(error, most=1) if isinstance(error, ValidationError) else error.message
        raise InvalidResponse(f"the answer isn't a whole {kind.__name__}: {why}") from None


def parse(name: str, data: bytes) -> Any:
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
        raise TypeError(f"no message, but {type(source).__name__}")
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
        for one in value:
            _fill(getattr(target, name).add(), one)
    elif field.message_type is not None:
        getattr(target, name).SetInParent()
        _fill(getattr(target, name), value)
    elif field.is_repeated:
        getattr(target, name).extend(value)
    else:
        setattr(target, name, bytes(value) if field.type == FieldDescriptor.TYPE_BYTES else value)


def plain(found: Any) -> Any:
    """Values of which pydantic makes the message: only what is there."""
    if found.DESCRIPTOR.name in WRAPPERS:
        return _value(found, found.DESCRIPTOR.fields[0])
    values = {}
    for field in found.DESCRIPTOR.fields:
        value = _value(found, field)
        if value is None:
            continue
        name = RENAMED.get(field.name, field.name)
        if field.name.endswith(_JSON):
            name, value = field.name.removesuffix(_JSON), _object(field.name, value)
        elif field.name == "fps_compat":
            if not value:
                continue
            value = COMPAT
        elif field.name == "dtype" and found.DESCRIPTOR.name == "Pixels":
            if value not in ("", _UINT8):
                raise InvalidRequest(f"pixels are {_UINT8}, got dtype {value[:20]!r}")
            continue
        values[name] = value
    return values


def _value(found: Any, field: FieldDescriptor) -> Any:
    if field.has_presence and not found.HasField(field.name):
        return None
    value = getattr(found, field.name)
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [plain(one) for one in value] if field.is_repeated else plain(value)


def _object(name: str, text: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidRequest(f"{name} is no JSON: {error}") from None


def _unknown(found: Any, place: str) -> Iterator[str]:
    """Places of fields that the .proto does not have, as paths of names and field numbers."""
    for field in UnknownFieldSet(found):  # type: ignore[attr-defined]  # iterable, its stubs don't say so
        yield f"{place}{field.field_number}"
    for known in found.DESCRIPTOR.fields:
        if known.message_type is None or (known.has_presence and not found.HasField(known.name)):
            continue
        value = getattr(found, known.name)
        for one in value if known.is_repeated else [value]:
            yield from _unknown(one, f"{place}{known.name}.")
