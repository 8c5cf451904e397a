"""Malformed and hostile requests apart from their media: JSON, raw bodies, HTTP."""

from __future__ import annotations

import itertools
import struct
from typing import Any

from . import files
from .media_cases import MEDIA, OVER, REFUSED
from .table import JSON, SAFETENSORS, Answer, Caller, Case, Row, b64, cases

PARSER = (400, "")
KIND = (415, "unsupported_media_type")
MISSING = (404, "not_found")
METHOD = (405, "method_not_allowed")
LATE = (504, "deadline_exceeded")
LARGE = (413, "payload_too_large")

FIELDS: list[Row] = [
    ("an unknown field", {"colour": 1}, REFUSED, "colour"),
    ("a field with a name of 5,000 letters", {"x" * 5000: 1}, REFUSED, "xxx"),
    ("a flag that is text", {"details": "maybe"}, REFUSED, "details"),
    ("a prompt that is a number", {"prompt": 7}, REFUSED, "prompt"),
    ("a prompt of 5,000 letters", {"prompt": "x" * 5000}, OVER, "4096"),
    ("a model that isn't served", {"model": "gpt"}, (404, "model_not_found"), "tiny"),
]

BODIES: list[Row] = [
    ("empty", b"", REFUSED, "references"),
    ("cut off", b'{"references": [', REFUSED, "JSON"),
    ("not text", b"\xff\xfe\x00", REFUSED, "JSON"),
    ("a list", b"[1,2]", REFUSED, ""),
    ("null", b"null", REFUSED, ""),
    ("a list 200,000 deep", b"[" * 200_000, REFUSED, "recursion"),
    ("an object 200,000 deep", b'{"a":' * 200_000, REFUSED, "recursion"),
    ("a number of 1,000,000 digits", b'{"references": ' + b"9" * 1_000_000 + b"}", REFUSED, ""),
    ("no references, no video", b"{}", REFUSED, "references"),
    ("over `max_body_bytes`", b'{"prompt": "' + b"x" * (9 << 20) + b'"}', LARGE, "bytes"),
]

GROUPS: list[Row] = [
    ("no video", {"videos": []}, REFUSED, "videos"),
    ("a damaged clip beside good ones", {"videos": [{"data": b64(b"damaged")}]}, (200, "invalid_media"), "no video"),
    ("65 videos", {"videos": [{"data": "QQ=="}] * 65}, OVER, "65 videos; at most 64"),
    *(
        (f"theta {theta}", {"theta": theta}, REFUSED, "theta")
        for theta in (1, 0, -3, 1e300, float("nan"), "x")
    ),
]  # fmt: skip

# header entries of a good body
V = {"dtype": "U8", "shape": [4, 2, 2, 3], "data_offsets": [0, 48]}
R = {"dtype": "U8", "shape": [2, 2, 3], "data_offsets": [48, 60]}
BOTH = {"video.0": V, "reference.0": R}


def raw(tensors: dict[str, Any] | None = None, data: int = 60, **more: Any) -> dict[str, Any]:
    return {"tensors": BOTH | (tensors or {}), "data": bytes(data), **more}


def nan_frames() -> dict[str, Any]:
    pixels = struct.pack("<f", float("nan")) * 48
    video = {"dtype": "F32", "shape": [4, 2, 2, 3], "data_offsets": [0, 192]}
    reference = {**R, "data_offsets": [192, 204]}
    return {"tensors": {"video.0": video, "reference.0": reference}, "data": pixels + bytes(12)}


def floats(dtype: str, size: int) -> dict[str, Any]:
    end = 48 * size
    video = {"dtype": dtype, "shape": [4, 2, 2, 3], "data_offsets": [0, end]}
    return raw({"video.0": video, "reference.0": {**R, "data_offsets": [end, end + 12]}}, end + 12)


RAW: list[Row] = [
    ("frames of NaN", nan_frames(), REFUSED, "dtype 'F32'; it must be U8"),
    *((f"frames of {dtype}", floats(dtype, size), REFUSED, "must be U8") for dtype, size in (("BF16", 2), ("I64", 8))),
    ("channels first", raw({"video.0": {**V, "shape": [4, 3, 2, 2]}}), REFUSED, "[T, H, W, 3]"),
    ("five dimensions", raw({"video.0": {**V, "shape": [1, 4, 2, 2, 3]}}), REFUSED, "one to four"),
    ("a size of zero", raw({"video.0": {**V, "shape": [0, 2, 2, 3], "data_offsets": [0, 0]}}), REFUSED, "positive"),
    ("offsets past the end", raw({"video.0": {**V, "data_offsets": [40, 88]}}), REFUSED, "inside the 60"),
    ("offsets below zero", raw({"video.0": {**V, "data_offsets": [-48, 0]}}), REFUSED, "non-negative"),
    ("offsets of 2^64", raw({"video.0": {**V, "data_offsets": [1 << 64, (1 << 64) + 48]}}), REFUSED, "non-negative"),
    ("offsets that overlap", raw({"reference.0": {**R, "data_offsets": [40, 52]}}), REFUSED, "overlap"),
    ("offsets that leave a gap", raw({"reference.0": {**R, "data_offsets": [52, 64]}}, 64), REFUSED, "gap"),
    ("more data than tensors", raw(data=99), REFUSED, "60 bytes of 99"),
    ("less data than tensors", raw(data=10), REFUSED, "inside the 10"),
    ("a header of 2^63 bytes", raw(length=1 << 63), REFUSED, "is this a safetensors file"),
    ("a header longer than the body", raw(length=4000), REFUSED, "only"),
    ("a header that ends too early", raw(length=7), REFUSED, "JSON"),
    ("no video", {"tensors": {"reference.0": {**R, "data_offsets": [0, 12]}}, "data": bytes(12)}, REFUSED, "'video.0'"),
    ("a tensor too many", raw({"video.7": {**V, "data_offsets": [60, 108]}}, 108), REFUSED, "'video.7'"),
    ("metadata that is no JSON", raw(request="{"), REFUSED, "JSON"),
    ("metadata 100,000 deep", raw(request="[" * 100_000), REFUSED, "nested too deeply"),
    ("an unknown field in the metadata", raw(request={"videos": [{"fps": 8}], "a": 1}), REFUSED, "'a'"),
    ("fps 0", raw(request={"model": "tiny", "videos": [{"fps": 0}]}), (200, "invalid_request"), "fps"),
    ("0 bytes", b"", REFUSED, "0 bytes"),
    ("64 bytes of 0xFF", b"\xff" * 64, REFUSED, "safetensors"),
]  # fmt: skip


def send_raw(caller: Caller, body: dict[str, Any] | bytes) -> Answer:
    if isinstance(body, bytes):
        return caller.send("/v1/groups:raw", body, SAFETENSORS)
    return caller.raw(**body)


ROUTES = {
    "/v1/score": JSON,
    "/v1/compare": JSON,
    "/v1/groups": JSON,
    "/v1/groups:raw": SAFETENSORS,
    "/v1/reference-sets": JSON,
}


def send_body(caller: Caller, options: dict[str, Any]) -> Answer:
    return caller.send(**({"route": "/v1/score", "content": b"{}"} | options))


def pickled(route: str, kind: str) -> dict[str, Any]:
    return {"route": route, "content": files.PICKLE, "kind": kind, "method": "PUT" if "sets" in route else "POST"}


TYPES: list[Row] = [
    *(
        (f"a pickle to `{route}`", pickled(route, "application/vnd.bentoml+pickle"), KIND, kind)
        for route, kind in ROUTES.items()
    ),
    *((f"a pickle to `{route}`, called {kind}", pickled(route, kind), REFUSED, "") for route, kind in ROUTES.items()),
    *(
        (f"{kind}", {"kind": kind}, KIND, JSON)
        for kind in (
            "application/octet-stream",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "text/plain",
        )
    ),
    ("a raw group without a content type", {"route": "/v1/groups:raw", "kind": None}, KIND, SAFETENSORS),
    ("a compressed body", {"Content_Encoding": "gzip"}, KIND, "compressed"),
    ("an unknown route", {"route": "/v2/score"}, MISSING, "no such route"),
    ("a path that climbs", {"route": "/v1/models/../../etc/passwd", "method": "GET"}, MISSING, ""),
    ("another method", {"method": "GET"}, METHOD, "another method"),
]


def endless():
    return itertools.repeat(b" " * (1 << 16))


def send_wire(caller: Caller, request: tuple[str, bytes]) -> Answer:
    lines, body = request
    return caller.wire(f"POST /v1/score HTTP/1.1\nHost: x\nContent-Type: {JSON}\n{lines}", body)


CHUNKED = "Transfer-Encoding: chunked"
WIRE: list[Row] = [
    ("Content-Length far over the limit", ("Content-Length: 99999999999", b""), LARGE, "bytes"),
    ("Content-Length larger than the body", ("Content-Length: 1000", b"{}"), LATE, "not answered within"),
    ("Content-Length smaller than the body", ("Content-Length: 9", b'{"references": []}'), PARSER, ""),
    ("a negative Content-Length", ("Content-Length: -1", b"{}"), PARSER, ""),
    ("a Content-Length that is no number", ("Content-Length: many", b"{}"), PARSER, ""),
    ("two Content-Lengths", ("Content-Length: 2\nContent-Length: 3", b"{} "), PARSER, ""),
    ("Content-Length and chunks", (f"Content-Length: 2\n{CHUNKED}", b"2\r\n{}\r\n0\r\n\r\n"), PARSER, ""),
    ("chunks that stop", (CHUNKED, b"2\r\n{}\r\n"), LATE, "not answered within"),
    ("a chunk of a size that is no number", (CHUNKED, b"zz\r\n{}\r\n"), PARSER, ""),
    ("a line that is no header", ("no header", b""), PARSER, ""),
]

CASES: list[Case] = [
    *MEDIA,
    *cases("fields", lambda caller, fields: caller.score(**fields), FIELDS),
    *cases("JSON", lambda caller, content: caller.send("/v1/score", content), BODIES),
    *cases("a group", lambda caller, fields: caller.groups(**fields), GROUPS),
    *cases("a raw group", send_raw, RAW),
    *cases("HTTP", send_body, TYPES),
    *cases(
        "HTTP", lambda caller, make: caller.send("/v1/score", make()), [("chunks without end", endless, LARGE, "bytes")]
    ),
    *cases("HTTP", send_wire, WIRE),
]
