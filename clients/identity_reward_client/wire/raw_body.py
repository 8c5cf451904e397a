"""Raw body of `POST /v1/groups:raw`: a GroupRequest as a safetensors file, with frames as bytes instead of base64.

Layout: 8 bytes little-endian length of the header, the header (JSON), the data. Tensors, all uint8:

    video.0 ... video.{G-1}      [T, H, W, 3] RGB frames
    reference.0 ...              [H, W, 3] RGB pixels, or 1-D: the bytes of an image file;
                                 none if the request has the id of a stored set

`__metadata__` has one key, `request`: JSON text of the other fields of a GroupRequest (`references` only as the id of a
stored set), in which `videos` has fps, num_source_frames and frame_indices of each video, in order.

`decode` reads untrusted bytes: it parses the header itself, copies no pixels, and raises InvalidRequest for every
fault.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from typing import Any, NoReturn

from ..errors import InvalidRequest
from ..messages import GroupRequest, Image, Pixels, Video
from .validation import raise_invalid_request

CONTENT_TYPE = "application/vnd.safetensors"
# 64 videos with 768 frame indices each need 0.3 MB
MAX_HEADER_BYTES = 4 << 20
_VIDEO_FIELDS = ("fps", "num_source_frames", "frame_indices")
# (shape, bytes)
Tensor = tuple[list[int], memoryview]


def can_encode(request: GroupRequest) -> bool:
    """Whether every video is raw frames, and no reference image is a URL or path."""
    images = [] if isinstance(request.references, str) else request.references
    return all(video.frames is not None for video in request.videos) and all(
        image.data is not None or image.pixels is not None for image in images
    )


def encode(request: GroupRequest) -> bytes:
    """The body for `request`. InvalidRequest for one that a raw body cannot hold, see `can_encode`."""
    if not can_encode(request):
        raise InvalidRequest(
            "a raw body holds videos as frames and references as pixels or file bytes; "
            "send files and lists of images as JSON to /v1/groups"
        )
    fields = request.model_dump(exclude={"references", "videos"}, exclude_none=True)
    fields["videos"] = [video.model_dump(include=set(_VIDEO_FIELDS), exclude_none=True) for video in request.videos]
    tensors = {f"video.{i}": _tensor(video.frames) for i, video in enumerate(request.videos)}
    if isinstance(request.references, str):
        fields["references"] = request.references
    else:
        tensors |= {f"reference.{i}": _tensor(image.pixels, image.data) for i, image in enumerate(request.references)}
    try:
        header: dict[str, Any] = {"__metadata__": {"request": json.dumps(fields, allow_nan=False)}}
    except ValueError:
        raise InvalidRequest("fps and theta must be finite numbers") from None
    end = 0
    for name, (shape, data) in tensors.items():
        start, end = end, end + data.nbytes
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format's own padding: data starts at a multiple of 8
    if len(text) > MAX_HEADER_BYTES:
        raise InvalidRequest(f"the raw body's header would be {len(text)} bytes, over {MAX_HEADER_BYTES}")
    return b"".join([struct.pack("<Q", len(text)), text, *(data for _, data in tensors.values())])


def _tensor(pixels: Pixels | None, data: Any = None) -> Tensor:
    if pixels is not None:
        return pixels.shape, memoryview(pixels.data)
    view = memoryview(data)
    return [view.nbytes], view


def decode(body: bytes | bytearray | memoryview) -> GroupRequest:
    """The request in `body`. Its pixels are read-only views of the body, which therefore stays in memory with them."""
    view = memoryview(body).cast("B").toreadonly()
    header, data = _split(view)
    fields = _request_fields(header.pop("__metadata__", None))
    tensors = _tensors(header, data)
    videos = fields.pop("videos", None)
    if not isinstance(videos, list) or not videos or not all(isinstance(video, dict) for video in videos):
        _refuse("request.videos must be a list with an object for each video (fps, num_source_frames, frame_indices)")
    unknown = {key for video in videos for key in video} - set(_VIDEO_FIELDS)
    if unknown:
        _refuse(f"unknown fields {_names(unknown)} in request.videos; there are {', '.join(_VIDEO_FIELDS)}")
    clips = [_take(tensors, f"video.{i}", 4) for i in range(len(videos))]
    references = fields.pop("references", None)
    if references is None:
        references = []
        while f"reference.{len(references)}" in tensors:
            references.append(_image(tensors, f"reference.{len(references)}"))
        if not references:
            _refuse("no references: send tensors reference.0, reference.1, ... or a stored set's id as references")
    elif not isinstance(references, str):
        _refuse("request.references is the id of a stored set; images are tensors reference.0, reference.1, ...")
    if tensors:
        _refuse(
            f"unexpected tensors {_names(tensors)}: the request has {len(videos)} videos, and tensors are numbered "
            "without gaps"
        )
    with raise_invalid_request():
        messages = [Video(frames=frames, **rest) for frames, rest in zip(clips, videos, strict=True)]
        return GroupRequest(references=references, videos=messages, **fields)


def _refuse(why: str) -> NoReturn:
    raise InvalidRequest(f"raw body: {why}")


def _names(names: Iterable[object]) -> str:
    texts = sorted(map(str, names))
    return ", ".join(repr(name[:40]) for name in texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _split(view: memoryview) -> tuple[dict[str, Any], memoryview]:
    if len(view) < 8:
        _refuse(f"{len(view)} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", view[:8])
    if length > MAX_HEADER_BYTES:
        _refuse(f"a header of {length} bytes is over {MAX_HEADER_BYTES}; is this a safetensors file?")
    if length > len(view) - 8:
        _refuse(f"the header should have {length} bytes, only {len(view) - 8} follow")
    return _json_object(bytes(view[8 : 8 + length]), "the header"), view[8 + length :]


def _json_object(text: bytes | str, label: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        _refuse(f"{label} is nested too deeply")
    except ValueError as error:
        _refuse(f"{label} is not valid JSON: {error}")
    if not isinstance(value, dict):
        _refuse(f"{label} must be a JSON object, got {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _request_fields(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict) or set(metadata) != {"request"} or not isinstance(metadata["request"], str):
        _refuse("__metadata__ must have exactly one key, request, with JSON text")
    fields = _json_object(metadata["request"], "the metadata's request")
    unknown = set(fields) - set(GroupRequest.model_fields)
    if unknown:
        _refuse(f"unknown fields {_names(unknown)}; there are {', '.join(GroupRequest.model_fields)}")
    return fields


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _tensors(header: dict[str, Any], data: memoryview) -> dict[str, Tensor]:
    """Tensors by name. As the format requires, they cover the data without a gap or an overlap."""
    tensors = {}
    spans = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            _refuse(f"tensor {name[:40]!r} needs exactly dtype, shape and data_offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if entry["dtype"] != "U8":
            _refuse(f"tensor {name[:40]!r} has dtype {str(entry['dtype'])[:20]!r}; it must be U8")
        if not isinstance(shape, list) or not 1 <= len(shape) <= 4 or not all(_is_count(n) and n for n in shape):
            _refuse(f"tensor {name[:40]!r} needs a shape of one to four positive sizes")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            _refuse(f"tensor {name[:40]!r} needs data_offsets of two non-negative integers")
        start, end = offsets
        if end > len(data) or end - start != math.prod(shape):
            _refuse(
                f"tensor {name[:40]!r} of shape {shape} needs {math.prod(shape)} bytes inside the {len(data)} of the "
                f"data, its offsets are {offsets}"
            )
        spans.append((start, end))
        tensors[name] = (shape, data[start:end])
    covered = 0
    for start, end in sorted(spans):
        if start != covered:
            _refuse(f"tensors overlap or leave a gap at byte {min(start, covered)} of the data")
        covered = end
    if covered != len(data):
        _refuse(f"the tensors cover {covered} bytes of {len(data)}")
    return tensors


def _take(tensors: dict[str, Tensor], name: str, dimensions: int) -> Pixels:
    if name not in tensors:
        _refuse(f"tensor {name!r} is missing")
    shape, data = tensors.pop(name)
    if len(shape) != dimensions or shape[-1] != 3:
        expected = "[T, H, W, 3]" if dimensions == 4 else "[H, W, 3], or 1-D for an image file"
        _refuse(f"tensor {name!r} must be {expected}, got shape {shape}")
    return Pixels(shape=shape, data=data)


def _image(tensors: dict[str, Tensor], name: str) -> Image:
    if len(tensors[name][0]) == 1:
        return Image(data=tensors.pop(name)[1])
    return Image(pixels=_take(tensors, name, 3))
