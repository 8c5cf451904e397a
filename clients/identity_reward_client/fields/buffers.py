"""Binary fields of messages: bytes in Python, a base64 string in JSON."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema


def _to_buffer(value: Any) -> bytes | memoryview:
    if isinstance(value, str):
        return _from_base64(value)
    if isinstance(value, bytes | memoryview):
        return value
    if isinstance(value, bytearray):
        return memoryview(value)
    raise ValueError(f"expected base64 text or bytes, got {type(value).__name__}")


def _from_base64(text: str) -> bytes:
    """Decodes base64 text, also as a data URL (`data:image/jpeg;base64,...`) and in lines (as `base64` writes it)."""
    if text.startswith("data:"):
        header, comma, text = text.partition(",")
        if not comma or not header.endswith(";base64"):
            raise ValueError("a data URL must be data:TYPE;base64, and base64 text")
    for line_end in ("\r", "\n"):
        if line_end in text:
            text = text.replace(line_end, "")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from None


Buffer = Annotated[
    Any,
    PlainValidator(_to_buffer),
    PlainSerializer(lambda data: base64.b64encode(data).decode("ascii"), when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
