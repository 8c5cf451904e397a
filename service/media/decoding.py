"""Video and reference messages as decoded arrays, within the server's limits. Blocking: runs in worker threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from identity_reward_client.errors import (
    FrameIndexMismatch,
    InvalidMedia,
    InvalidRequest,
    LimitExceeded,
    MissingFps,
    VideoNotFound,
)
from identity_reward_client.fields.fps import resolve_fps
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Image, Video
from reward_model import types
from reward_model.decoding.images import ImageRule
from reward_model.decoding.media_decoder import InProcessDecoder, MediaDecoder
from reward_model.decoding.pool import DecodePool
from reward_model.decoding.timeline import VideoProbe

from ..settings.groups import MediaSettings
from .images import decode_image, refuse_links

# above the rate of any camera; it also keeps num_frames / fps away from denormal numbers
MAX_FPS = 1000.0


def limit_exceeded(label: str, value: float, name: str, limits: MediaSettings) -> LimitExceeded:
    """The error for a `value` above the limit of that name."""
    maximum = getattr(limits, name)
    value = min(value, 1e18)  # an integer of JSON may be too large for a float
    return LimitExceeded(
        f"{label}: {value:.12g}; at most {maximum:.12g} ({name})", details={"limit": name, "maximum": maximum}
    )


def make_decoder(settings: MediaSettings) -> MediaDecoder:
    """Decoder in worker processes, or in this process if there are to be none."""
    if not settings.decode_workers:
        return InProcessDecoder(settings.video_decoder)
    return DecodePool(
        settings.decode_workers,
        timeout_s=settings.decode_timeout_s,
        max_bytes=settings.max_decoder_bytes,
        decoder=settings.video_decoder,
    )


def decode_references(
    images: Sequence[Image], limits: MediaSettings, decoder: MediaDecoder, rule: ImageRule = "upright"
) -> types.ReferenceSet:
    """Decoded reference images; errors name the index of theirs."""
    return types.ReferenceSet(
        tuple(decode_image(image, limits, decoder, f"reference {i}", rule) for i, image in enumerate(images))
    )


def measure_video(
    video: Video, sampling: FrameSampling, limits: MediaSettings, decoder: MediaDecoder
) -> tuple[int, types.Size]:
    """Number of sampled frames and their size, from headers and a probe. Raises what `decode_video` would raise."""
    fps = _sent_fps(video, sampling)
    if video.data is not None:
        with decoder.video(video.data, limits.max_frame_pixels) as file:
            _, indices = _check_probe(file.probe, fps, sampling, limits)
            return len(indices), (file.probe.height, file.probe.width)
    selection = _select(video, fps, sampling, limits)
    if video.frames is not None:
        return len(selection.sent_indices), (video.frames.shape[1], video.frames.shape[2])
    pixels = (video.images or [])[selection.sent_indices[0]].pixels
    return len(selection.sent_indices), None if pixels is None else (pixels.shape[0], pixels.shape[1])


def decode_video(video: Video, sampling: FrameSampling, limits: MediaSettings, decoder: MediaDecoder) -> types.Video:
    """The frames that `sampling` selects. Limits that a header or a probe can check are checked before decoding."""
    fps = _sent_fps(video, sampling)
    if video.data is not None:
        with decoder.video(video.data, limits.max_frame_pixels) as file:
            fps, indices = _check_probe(file.probe, fps, sampling, limits)
            return types.Video(file.frames(indices), fps, file.probe.num_frames, indices)
    selection = _select(video, fps, sampling, limits)
    if video.frames is None:
        frames_THWC = _decode_images(video.images or [], selection.sent_indices, limits, decoder)
    else:
        # indexing copies: the request's buffer may be read-only, and need not outlive this call
        sent_THWC = np.frombuffer(video.frames.data, np.uint8).reshape(video.frames.shape)
        frames_THWC = sent_THWC[list(selection.sent_indices)]
    return types.Video(frames_THWC, selection.fps, selection.num_source_frames, selection.indices)


def _sent_fps(video: Video, sampling: FrameSampling) -> float | None:
    """The frame rate that the sender gives, if any."""
    if video.id is not None:
        raise VideoNotFound(f"no reward is cached for video {video.id} with these references; send the video itself")
    refuse_links(video, "the video")
    fps = None if video.fps is None else resolve_fps(video.fps, sampling)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise InvalidRequest(f"fps must be above 0 and at most {MAX_FPS:g}, got {fps:g}")
    return fps


@dataclass(frozen=True)
class _Selection:
    """Sampled frames of a video that was sent as an array or as images."""

    fps: float
    num_source_frames: int
    # indices in the source
    indices: tuple[int, ...]
    # indices in the sent frames or images
    sent_indices: Sequence[int]


def _select(video: Video, fps: float | None, sampling: FrameSampling, limits: MediaSettings) -> _Selection:
    if fps is None:
        raise MissingFps("frames and lists of images need fps, the frames per second of their source; none was given")
    num_sent = len(video.images or []) if video.frames is None else video.frames.shape[0]
    if not num_sent:
        raise InvalidMedia("the video is an empty list of images")
    if num_sent > limits.max_sent_frames:
        raise limit_exceeded("frames sent for one video", num_sent, "max_sent_frames", limits)
    if video.num_source_frames is None or video.frame_indices is None:
        indices = _sample(num_sent, fps, sampling, limits)
        selection = _Selection(fps, num_sent, indices, indices)
    else:
        indices = _check_indices(video.num_source_frames, video.frame_indices, num_sent, fps, sampling, limits)
        selection = _Selection(fps, video.num_source_frames, indices, range(num_sent))
    if video.frames is not None:
        _check_frames(video.frames.shape[2], video.frames.shape[1], len(selection.sent_indices), limits)
    return selection


def _check_indices(
    num_source_frames: int,
    sent_indices: list[int],
    num_sent: int,
    fps: float,
    sampling: FrameSampling,
    limits: MediaSettings,
) -> tuple[int, ...]:
    """The indices that `sampling` selects; FrameIndexMismatch if the sender selected others."""
    if len(sent_indices) != num_sent:
        raise FrameIndexMismatch(
            f"{num_sent} frames came with {len(sent_indices)} frame_indices",
            details={"num_frames": num_sent, "num_frame_indices": len(sent_indices)},
        )
    if num_source_frames < 1:
        raise InvalidRequest("num_source_frames must be at least 1")
    expected = _sample(num_source_frames, fps, sampling, limits)
    if not all(0 <= i < num_source_frames for i in sent_indices):
        raise InvalidRequest(
            f"frame_indices must lie in 0..{num_source_frames - 1}, the source's {num_source_frames} frames"
        )
    if tuple(sent_indices) != expected:
        raise FrameIndexMismatch(
            f"frame sampling {sampling.name} selects frames {list(expected)} of {num_source_frames} at {fps:g} fps, "
            f"the sender selected {sent_indices}",
            details={"expected": list(expected), "given": sent_indices, "frame_sampling": sampling.name},
        )
    return expected


def _sample(num_frames: int, fps: float, sampling: FrameSampling, limits: MediaSettings) -> tuple[int, ...]:
    if num_frames > limits.max_source_frames:
        raise limit_exceeded("frames of the source", num_frames, "max_source_frames", limits)
    if num_frames / fps > limits.max_duration_s:
        raise limit_exceeded("seconds of video", num_frames / fps, "max_duration_s", limits)
    return sampling.indices(num_frames, fps)


def _check_frames(width: int, height: int, num_frames: int, limits: MediaSettings) -> None:
    if width * height > limits.max_frame_pixels:
        raise limit_exceeded(f"pixels of a {width}x{height} frame", width * height, "max_frame_pixels", limits)
    num_bytes = num_frames * height * width * 3
    if num_bytes > limits.max_decoded_bytes:
        label = f"bytes of {num_frames} decoded {width}x{height} frames"
        raise limit_exceeded(label, num_bytes, "max_decoded_bytes", limits)


def _check_probe(
    probe: VideoProbe, fps: float | None, sampling: FrameSampling, limits: MediaSettings
) -> tuple[float, tuple[int, ...]]:
    """Frame rate and selected indices of a video file."""
    fps = fps or probe.fps
    if not fps or not math.isfinite(fps):
        raise MissingFps("the video file has no frame rate; send fps with it")
    if probe.duration_s > limits.max_duration_s:
        raise limit_exceeded("seconds of video", probe.duration_s, "max_duration_s", limits)
    indices = _sample(probe.num_frames, fps, sampling, limits)
    _check_frames(probe.width, probe.height, len(indices), limits)
    return fps, indices


def _decode_images(
    images: Sequence[Image], selected: Sequence[int], limits: MediaSettings, decoder: MediaDecoder
) -> np.ndarray:
    """uint8 [T, H, W, 3]; an image that is selected twice is decoded once."""
    frames: dict[int, np.ndarray] = {}
    for i in selected:
        if i in frames:
            continue
        frames[i] = decode_image(images[i], limits, decoder, f"frame {i}")
        height, width, _ = frames[i].shape
        _check_frames(width, height, len(selected), limits)
        first = frames[selected[0]].shape
        if frames[i].shape != first:
            raise InvalidMedia(
                f"frame {i} is {width}x{height}, frame {selected[0]} is {first[1]}x{first[0]}; a video has one size"
            )
    return np.stack([frames[i] for i in selected])
