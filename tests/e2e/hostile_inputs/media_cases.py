"""Hostile and malformed media: files, images, frames, and the error that each gets; and a few odd but valid ones."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from . import files
from .table import Answer, Caller, Case, Row, b64, cases

INVALID = (422, "invalid_media")
OVER = (422, "limit_exceeded")
LINK = (422, "input_refused")
MISMATCH = (422, "frame_index_mismatch")
REFUSED = (400, "invalid_request")
FINE = (200, "")


def cut(data: Callable[[], bytes], percent: int) -> Callable[[], bytes]:
    return lambda: data()[: len(data()) * percent // 100]


def fast_start() -> bytes:
    return files.video(movflags="faststart")


def mkv() -> bytes:
    return files.video(form="matroska")


FILES: list[Row] = [
    ("0 bytes", lambda: b"", INVALID, "empty"),
    *((f"MP4 cut after {n} %", cut(files.video, n), INVALID, "") for n in (1, 10, 20, 30, 40, 50, 60, 70, 80, 90)),
    *((f"MP4 with its index first, cut after {n} %", cut(fast_start, n), INVALID, "") for n in (10, 50, 99)),
    *((f"MKV cut after {n} %", cut(mkv, n), INVALID, "") for n in (10, 50, 90)),
    ("4,096 zero bytes", lambda: bytes(4096), INVALID, "zeros"),
    ("text, named .mp4", lambda: b"hello, this is no clip\n" * 40, INVALID, "no video file of a known kind"),
    ("a playlist that names a file", lambda: b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", INVALID, "no video file"),
    ("a list of files to join", lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", INVALID, "no video file"),
    ("a pickle", lambda: files.PICKLE, INVALID, "no video file"),
    ("an image", files.image, INVALID, "an image was given"),
    ("sound only", files.audio, INVALID, "no video stream, only audio"),
    ("600 bytes damaged in the middle", lambda: files.damaged(fast_start()), INVALID, "damaged"),
    ("a codec that doesn't exist", files.renamed_codec, INVALID, "codec isn't known"),
    ("a frame size that changes in the middle", files.two_sizes, INVALID, "size changes"),
    ("a header that promises 1,000,000 frames", lambda: files.announcing(10**6), INVALID, "cut short"),
    ("a GIF whose header says 65000x65000", files.lying_gif, INVALID, "no frame size"),
    ("16000x8000", files.large_video, OVER, "max_frame_pixels"),
    ("4112x2304, over `max_frame_pixels`", lambda: files.large_video(4112, 2304), OVER, "max_frame_pixels"),
    ("400 frames, over `max_source_frames`", lambda: files.video(frames=400), OVER, "max_source_frames"),
    ("15 minutes, over `max_duration_s`", lambda: files.video(frames=3, seconds=300), OVER, "max_duration_s"),
    ("one frame: it is repeated", lambda: files.video(frames=1), FINE, ""),
]

IMAGES: list[Row] = [
    ("0 bytes", lambda: b"", INVALID, "reference 0 is empty"),
    ("text, named .jpg", lambda: b"not an image" * 9, INVALID, "no image that can be read"),
    ("a video", files.video, INVALID, "no image that can be read"),
    ("a pickle", lambda: files.PICKLE, INVALID, "no image that can be read"),
    ("SVG", lambda: b"<svg><image href='/etc/passwd'/></svg>", INVALID, "no image that can be read"),
    ("PostScript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n", INVALID, "no image that can be read"),
    *(
        (f"{form} cut in half", cut(lambda form=form: files.image(form), 50), INVALID, "ends too early")
        for form in ("JPEG", "PNG", "WEBP")
    ),
    *(
        (f"an animated {form}", lambda form=form: files.animation(form), INVALID, f"many-page {form} of 3")
        for form in ("GIF", "PNG", "WEBP")
    ),
    ("TIFF of floating-point pixels", lambda: files.image("TIFF", mode="F"), INVALID, "floating-point"),
    ("9000x9000 in 11 kB", lambda: files.decompression_bomb(9000), OVER, "81000000 pixels"),
    ("20000x20000 in 50 kB", lambda: files.decompression_bomb(20000), OVER, "pixels"),
    ("16-bit PNG: scaled to 8", lambda: files.image(mode="I;16"), FINE, ""),
]


def image(data: bytes) -> dict[str, str]:
    return {"data": b64(data)}


REFERENCES: list[Row] = [
    ("none", {"references": []}, REFUSED, "references"),
    ("nine", lambda good: {"references": good * 9}, OVER, "9 references; at most 8"),
    ("no face on it, for a model of faces",
     lambda _: {"model": "arcface", "references": [image(files.image())]}, (422, "reference_without_face"), ""),
    ("a URL", {"references": [{"url": "file:///etc/passwd"}]}, LINK, "url"),
    ("a path", {"references": [{"path": "/etc/passwd"}]}, LINK, "path"),
    ("not base64", {"references": [{"data": "%%%"}]}, REFUSED, "references.0.data: not base64"),
    ("too few raw pixels", {"references": [{"pixels": {"shape": [4, 4, 3], "data": "QQ=="}}]}, REFUSED, "48 bytes"),
    ("raw pixels of four channels", {"references": [{"pixels": {"shape": [1, 1, 4], "data": "QUFBQQ=="}}]}, REFUSED,
     "[H, W, 3]"),
    ("an id that isn't stored", {"references": "sha256:" + "0" * 64}, (404, "reference_set_not_found"), "PUT its"),
    ("a malformed id", {"references": "sha256:12"}, REFUSED, "references"),
]  # fmt: skip

CHOSEN = {"fps": 8, "num_source_frames": 9}
FRAMES: list[Row] = [
    ("no fps", {}, (422, "missing_fps"), "fps"),
    ("fps 0", {"fps": 0}, REFUSED, "fps"),
    ("fps -1", {"fps": -1}, REFUSED, "fps"),
    ("fps 2000", {"fps": 2000}, REFUSED, "at most 1000"),
    ("fps NaN", {"fps": float("nan")}, REFUSED, ""),
    ("fps infinite", {"fps": float("inf")}, REFUSED, ""),
    ("fps 0.001: over `max_duration_s`", {"fps": 1e-3}, OVER, "max_duration_s"),
    ("num_source_frames without frame_indices", CHOSEN, REFUSED, "go together"),
    ("other frames than the model takes", {**CHOSEN, "frame_indices": [0, 1, 2, 8]}, MISMATCH, "[0, 3, 5, 8]"),
    ("fewer indices than frames", {**CHOSEN, "frame_indices": [0, 8]}, MISMATCH, "4 frames"),
    ("an index past the source's end", {**CHOSEN, "frame_indices": [0, 3, 5, 99]}, REFUSED, "0..8"),
    ("a source of no frames", {**CHOSEN, "num_source_frames": 0, "frame_indices": [0, 3, 5, 8]}, REFUSED, "at least"),
    ("a source of 10^400 frames", {**CHOSEN, "num_source_frames": 10**400, "frame_indices": [0, 3, 5, 8]}, OVER,
     "max_source_frames"),
    ("a file as well", {"fps": 8, "data": "QQ=="}, REFUSED, "exactly one"),
    ("too few bytes", {"fps": 8, "of": ([4, 32, 32, 3], b"A")}, REFUSED, "needs 12288 bytes"),
    ("channels first", {"fps": 8, "of": ([4, 3, 32, 32], None)}, REFUSED, "[T, H, W, 3]"),
    ("one image, not frames", {"fps": 8, "of": ([32, 32, 3], None)}, REFUSED, "[T, H, W, 3]"),
    ("no frame at all", {"fps": 8, "of": ([0, 32, 32, 3], b"")}, REFUSED, "positive sizes"),
    ("a shape of 2^80 pixels", {"fps": 8, "of": ([2**40, 2**40, 1, 3], b"")}, REFUSED, "bytes"),
    ("65 frames, over `max_sent_frames`", {"fps": 8, "of": ([65, 1, 1, 3], None)}, OVER, "max_sent_frames"),
    ("one frame: it is repeated", {"fps": 8, "of": ([1, 32, 32, 3], None)}, FINE, ""),
]  # fmt: skip


def send_frames(caller: Caller, fields: dict[str, Any]) -> Answer:
    shape, data = fields.get("of", ([4, 32, 32, 3], None))
    pixels = {"shape": shape, "data": b64(bytes(prod(shape)) if data is None else data)}
    return caller.score(video={"frames": pixels} | {name: value for name, value in fields.items() if name != "of"})


VIDEOS: list[Row] = [
    ("a URL", lambda: {"url": "http://127.0.0.1/a.mp4"}, LINK, "url"),
    ("a path", lambda: {"path": "/etc/passwd"}, LINK, "path"),
    ("not base64", lambda: {"data": "not base64!"}, REFUSED, "video.data: not base64"),
    ("nothing", dict, REFUSED, "exactly one"),
    ("an empty list of images", lambda: {"images": [], "fps": 8}, INVALID, "empty"),
    ("images without fps", lambda: {"images": [image(files.image())]}, (422, "missing_fps"), "fps"),
    ("images of two sizes", lambda: {"images": [image(files.image(size=(64, n))) for n in (48, 32)], "fps": 8},
     INVALID, "a video has one size"),
    ("images, one of them damaged", lambda: {"images": [image(files.image()), image(b"damaged")], "fps": 8},
     INVALID, "frame 1"),
    ("images by path", lambda: {"images": [{"path": "/etc/passwd"}], "fps": 8}, LINK, "frame 0"),
    ("65 images, over `max_sent_frames`", lambda: {"images": [image(b"")] * 65, "fps": 8}, OVER, "max_sent_frames"),
]  # fmt: skip


def send_references(caller: Caller, fields: dict[str, Any] | Callable) -> Answer:
    """`fields` of the request, or a function that makes them from good references."""
    return caller.score(**(fields if isinstance(fields, dict) else fields(caller.body()["references"])))


MEDIA: list[Case] = [
    *cases("a video file", lambda caller, make: caller.file(make()), FILES),
    *cases("raw frames", send_frames, FRAMES),
    *cases("a video in another way", lambda caller, make: caller.score(video=make()), VIDEOS),
    *cases("a reference file", lambda caller, make: caller.reference_file(make()), IMAGES),
    *cases("references", send_references, REFERENCES),
]
