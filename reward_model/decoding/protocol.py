"""What the decode pool and its workers say to each other over a socket: JSON, and bytes after it. Never pickle.

A message is the lengths of both (unsigned, 4 and 8 bytes, big-endian), the JSON object, and the bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct(">IQ")
# an error with its details, or a video's frame numbers
MAX_JSON_BYTES = 1 << 20

HEAD_BYTES = _LENGTHS.size


def head(message: dict[str, Any], num_bytes: int = 0) -> bytes:
    """The message up to its bytes."""
    text = json.dumps(message).encode()
    return _LENGTHS.pack(len(text), num_bytes) + text


def lengths(start: bytes | bytearray) -> tuple[int, int]:
    """(length of the JSON, number of bytes after it) from the first HEAD_BYTES; ValueError for an impossible one."""
    text, rest = _LENGTHS.unpack(start)
    if text > MAX_JSON_BYTES:
        raise ValueError(f"a message of {text} bytes of JSON")
    return text, rest


def parsed(text: bytes | bytearray) -> dict[str, Any]:
    """ValueError for anything but a JSON object."""
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message
