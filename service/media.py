"""Messages to what a scorer takes: reference sets and videos, decoded within the limits. Runs in worker threads."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from threading import Lock

import numpy as np

from identity_reward_client.errors import (
    FrameIndexMismatch,
    InvalidMedia,
    InvalidRequest,
    LimitExceeded,
    MissingFps,
    ReferenceSetNotFound,
)
from identity_reward_client.fps import resolve_fps
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Image, Video
from reward_model import types
from reward_model.decode_picture import PictureRule
from reward_model.decode_pool import DecodePool
from reward_model.media_decoder import InProcessDecoder, MediaDecoder

from .failures import as_typed
from .pictures import decode_picture, refuse_links
from .settings import Settings

# no camera is faster; it also keeps num_frames / fps away from denormal numbers
MAX_FPS = 1000.0


def _over(what: str, given: float, name: str, limits: Settings) -> LimitExceeded:
    maximum = getattr(limits, name)
    given = min(given, 1e18)  # an integer of JSON may be too large for a float
    return LimitExceeded(
        f"{what}: {given:.12g}; at most {maximum:.12g} ({name})", details={"limit": name, "maximum": maximum}
    )


def make_decoder(settings: Settings) -> MediaDecoder:
    if not settings.decode_workers:
        return InProcessDecoder(settings.video_decoder)
    return DecodePool(
        settings.decode_workers,
        timeout_s=settings.decode_timeout_s,
        max_bytes=settings.max_decoder_bytes,
        decoder=settings.video_decoder,
    )


def decode_references(
    images: Sequence[Image], limits: Settings, decoder: MediaDecoder, rule: PictureRule = "upright"
) -> types.ReferenceSet:
    return types.ReferenceSet(
        tuple(decode_picture(image, limits, decoder, f"reference {i}", rule) for i, image in enumerate(images))
    )


def decode_video(video: Video, sampling: FrameSampling, limits: Settings, decoder: MediaDecoder) -> types.Video:
    """The frames that `sampling` picks. Everything that a header or a probe can tell is checked before decoding."""
    refuse_links(video, "the video")
    fps = None if video.fps is None else resolve_fps(video.fps, sampling)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise InvalidRequest(f"fps must be above 0 and at most {MAX_FPS:g}, got {fps:g}")
    if video.data is not None:
        with as_typed():
            return _from_file(video.data, fps, sampling, limits, decoder)
    if fps is None:
        raise MissingFps("frames and lists of pictures need fps, the frames a second of their source; none was given")
    images = video.images or []
    sent = len(images) if video.frames is None else video.frames.shape[0]
    if not sent:
        raise InvalidMedia("the video is an empty list of pictures")
    if sent > limits.max_sent_frames:
        raise _over("frames sent for one video", sent, "max_sent_frames", limits)
    if video.num_source_frames is None or video.frame_indices is None:
        count, indices = sent, _sample(sent, fps, sampling, limits)
        picks: Sequence[int] = indices
    else:
        count = video.num_source_frames
        indices = _checked_choice(count, video.frame_indices, sent, fps, sampling, limits)
        picks = range(sent)
    if video.frames is None:
        frames = _from_pictures(images, picks, limits, decoder)
    else:
        _check_frames(video.frames.shape[2], video.frames.shape[1], len(picks), limits)
        # picked by a copy: the request's buffer may be read-only, and need not outlive this call
        frames = np.frombuffer(video.frames.data, np.uint8).reshape(video.frames.shape)[list(picks)]
    return types.Video(frames, fps, count, indices)


def _checked_choice(
    count: int, given: list[int], sent: int, fps: float, sampling: FrameSampling, limits: Settings
) -> tuple[int, ...]:
    """The indices that the sampling takes; FrameIndexMismatch where the sender's are others."""
    if len(given) != sent:
        raise FrameIndexMismatch(
            f"{sent} frames came with {len(given)} frame_indices",
            details={"num_frames": sent, "num_frame_indices": len(given)},
        )
    if count < 1:
        raise InvalidRequest("num_source_frames must be at least 1")
    expected = _sample(count, fps, sampling, limits)
    if not all(0 <= i < count for i in given):
        raise InvalidRequest(f"frame_indices must lie in 0..{count - 1}, the source's {count} frames")
    if tuple(given) != expected:
        raise FrameIndexMismatch(
            f"frame sampling {sampling.name} takes frames {list(expected)} of {count} at {fps:g} fps, "
            f"the sender took {given}",
            details={"expected": list(expected), "given": given, "frame_sampling": sampling.name},
        )
    return expected


def _sample(count: int, fps: float, sampling: FrameSampling, limits: Settings) -> tuple[int, ...]:
    if count > limits.max_source_frames:
        raise _over("frames of the source", count, "max_source_frames", limits)
    if count / fps > limits.max_duration_s:
        raise _over("seconds of video", count / fps, "max_duration_s", limits)
    return sampling.indices(count, fps)


def _check_frames(width: int, height: int, count: int, limits: Settings) -> None:
    if width * height > limits.max_frame_pixels:
        raise _over(f"pixels of a {width}x{height} frame", width * height, "max_frame_pixels", limits)
    if count * height * width * 3 > limits.max_decoded_bytes:
        raise _over(
            f"bytes of {count} decoded {width}x{height} frames", count * height * width * 3, "max_decoded_bytes", limits
        )


def _from_file(
    data: bytes | memoryview, fps: float | None, sampling: FrameSampling, limits: Settings, decoder: MediaDecoder
) -> types.Video:
    with decoder.video(data, limits.max_frame_pixels) as file:
        probe = file.probe
        fps = fps or probe.fps
        if not fps or not math.isfinite(fps):
            raise MissingFps("the video file doesn't say how many frames a second it has; send fps with it")
        if probe.duration_s > limits.max_duration_s:
            raise _over("seconds of video", probe.duration_s, "max_duration_s", limits)
        indices = _sample(probe.num_frames, fps, sampling, limits)
        _check_frames(probe.width, probe.height, len(indices), limits)
        return types.Video(file.frames(indices), fps, probe.num_frames, indices)


def _from_pictures(
    images: Sequence[Image], picks: Sequence[int], limits: Settings, decoder: MediaDecoder
) -> np.ndarray:
    frames: dict[int, np.ndarray] = {}
    for i in picks:
        if i in frames:
            continue
        frames[i] = decode_picture(images[i], limits, decoder, f"frame {i}")
        height, width, _ = frames[i].shape
        _check_frames(width, height, len(picks), limits)
        first = frames[picks[0]].shape
        if frames[i].shape != first:
            raise InvalidMedia(
                f"frame {i} is {width}x{height}, frame {picks[0]} is {first[1]}x{first[0]}; a video has one size"
            )
    return np.stack([frames[i] for i in picks])


def content_key(message: Image | Video) -> bytes:
    """Equal for equal content, whatever way it travelled: digest over kind, shape and bytes as sent.

    InputRefused for a URL or path: what stands there may change, so it is brought in first.
    """
    digest = sha256()

    def add(kind: bytes, data) -> None:
        view = memoryview(data).cast("B")
        digest.update(kind + view.nbytes.to_bytes(8, "big"))
        digest.update(view)

    def add_picture(image: Image) -> None:
        refuse_links(image, "the picture")
        if image.pixels is None:
            add(b"file", image.data or b"")
        else:
            add(b"pixels" + repr(image.pixels.shape).encode(), image.pixels.data)

    if isinstance(message, Image):
        add_picture(message)
        return digest.digest()
    refuse_links(message, "the video")
    if message.frames is not None:
        add(b"frames" + repr(message.frames.shape).encode(), message.frames.data)
    elif message.images is not None:
        for image in message.images:
            add_picture(image)
    else:
        add(b"video", message.data or b"")
    digest.update(repr((message.fps, message.num_source_frames, message.frame_indices)).encode())
    return digest.digest()


def reference_set_id(images: Sequence[Image]) -> str:
    return "sha256:" + sha256(b"".join(content_key(image) for image in images)).hexdigest()


class ReferenceStore:
    """Decoded reference sets by id and picture rule, least recently used first out, bounded in bytes.

    Safe from several threads.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._sets: OrderedDict[tuple[str, PictureRule], types.ReferenceSet] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[str, PictureRule]) -> types.ReferenceSet:
        with self._lock:
            if key not in self._sets:
                raise ReferenceSetNotFound(
                    f"reference set {key[0]} isn't stored here (any more); put its pictures to /v1/reference-sets"
                )
            self._sets.move_to_end(key)
            return self._sets[key]

    def put(self, key: tuple[str, PictureRule], references: types.ReferenceSet) -> None:
        size = _size(references)
        if size > self._max_bytes:
            raise LimitExceeded(
                f"the reference set takes {size} bytes decoded; the server keeps {self._max_bytes} in all",
                details={"limit": "max_reference_store_bytes", "maximum": self._max_bytes},
            )
        with self._lock:
            if key in self._sets:
                self._sets.move_to_end(key)
                return
            self._sets[key] = references
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._bytes -= _size(self._sets.popitem(last=False)[1])


def _size(references: types.ReferenceSet) -> int:
    return sum(image.nbytes for image in references.images)
