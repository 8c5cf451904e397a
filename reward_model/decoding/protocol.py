"""Wire format between the decode pool and its workers: JSON followed by raw bytes, over a socket. Never pickle.

A message is a header, a JSON object and a payload. The header holds the lengths of both, unsigned and big-endian, in 4
and 8 bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct(">IQ")
# an error with its details, or a video's frame numbers
MAX_JSON_BYTES = 1 << 20

HEADER_BYTES = _LENGTHS.size


def encode(message: dict[str, Any], payload_bytes: int = 0) -> bytes:
    """Header and JSON of a message whose payload follows."""
    text = json.dumps(message).encode()
    return _LENGTHS.pack(len(text), payload_bytes) + text


def decode_header(header: bytes | bytearray) -> tuple[int, int]:
    """(bytes of JSON, bytes of payload) from HEADER_BYTES; ValueError for more JSON than MAX_JSON_BYTES."""
    json_bytes, payload_bytes = _LENGTHS.unpack(header)
    if json_bytes > MAX_JSON_BYTES:
        raise ValueError(f"a message of {json_bytes} bytes of JSON")
    return json_bytes, payload_bytes


def decode_json(text: bytes | bytearray) -> dict[str, Any]:
    """The message's JSON object; ValueError for anything else."""
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message
