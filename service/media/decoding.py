"""Messages to what a scorer takes: reference sets and videos, decoded within the limits. Runs in worker threads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from identity_reward_client.errors import (
    FrameIndexMismatch,
    InvalidMedia,
    InvalidRequest,
    LimitExceeded,
    MissingFps,
    VideoNotFound,
)
from identity_reward_client.fps import resolve_fps
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Image, Video
from reward_model import types
from reward_model.decoding.images import ImageRule
from reward_model.decoding.media_decoder import InProcessDecoder, MediaDecoder
from reward_model.decoding.pool import DecodePool
from reward_model.decoding.timeline import VideoProbe

from ..settings.groups import MediaSettings
from .images import decode_picture, refuse_links

# no camera is faster; it also keeps num_frames / fps away from denormal numbers
MAX_FPS = 1000.0


def over(what: str, given: float, name: str, limits: MediaSettings) -> LimitExceeded:
    """`given` is more than the limit of that name."""
    maximum = getattr(limits, name)
    given = min(given, 1e18)  # an integer of JSON may be too large for a float
    return LimitExceeded(
        f"{what}: {given:.12g}; at most {maximum:.12g} ({name})", details={"limit": name, "maximum": maximum}
    )


def make_decoder(settings: MediaSettings) -> MediaDecoder:
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
    return types.ReferenceSet(
        tuple(decode_picture(image, limits, decoder, f"reference {i}", rule) for i, image in enumerate(images))
    )


def measure_video(
    video: Video, sampling: FrameSampling, limits: MediaSettings, decoder: MediaDecoder
) -> tuple[int, types.Size]:
    """(frames that the model will look at, their size), from headers and a probe; raises what `decode_video` would."""
    fps = _given_fps(video, sampling)
    if video.data is not None:
        with decoder.video(video.data, limits.max_frame_pixels) as file:
            _, indices = _checked_probe(file.probe, fps, sampling, limits)
            return len(indices), (file.probe.height, file.probe.width)
    *_, picks = _chosen(video, fps, sampling, limits)
    if video.frames is not None:
        return len(picks), (video.frames.shape[1], video.frames.shape[2])
    pixels = (video.images or [])[picks[0]].pixels
    return len(picks), None if pixels is None else (pixels.shape[0], pixels.shape[1])


def decode_video(video: Video, sampling: FrameSampling, limits: MediaSettings, decoder: MediaDecoder) -> types.Video:
    """The frames that `sampling` picks. Everything that a header or a probe can tell is checked before decoding."""
    fps = _given_fps(video, sampling)
    if video.data is not None:
        with decoder.video(video.data, limits.max_frame_pixels) as file:
            fps, indices = _checked_probe(file.probe, fps, sampling, limits)
            return types.Video(file.frames(indices), fps, file.probe.num_frames, indices)
    fps, count, indices, picks = _chosen(video, fps, sampling, limits)
    if video.frames is None:
        frames = _from_pictures(video.images or [], picks, limits, decoder)
    else:
        # picked by a copy: the request's buffer may be read-only, and need not outlive this call
        frames = np.frombuffer(video.frames.data, np.uint8).reshape(video.frames.shape)[list(picks)]
    return types.Video(frames, fps, count, indices)


def _given_fps(video: Video, sampling: FrameSampling) -> float | None:
    """What the sender says of the frame rate, if anything."""
    if video.id is not None:
        raise VideoNotFound(f"no reward is kept for video {video.id} with these references; send the video itself")
    refuse_links(video, "the video")
    fps = None if video.fps is None else resolve_fps(video.fps, sampling)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise InvalidRequest(f"fps must be above 0 and at most {MAX_FPS:g}, got {fps:g}")
    return fps


def _chosen(
    video: Video, fps: float | None, sampling: FrameSampling, limits: MediaSettings
) -> tuple[float, int, tuple[int, ...], Sequence[int]]:
    """(frame rate, frames of the source, indices in it, places among what was sent) of frames or pictures."""
    if fps is None:
        raise MissingFps("frames and lists of pictures need fps, the frames a second of their source; none was given")
    sent = len(video.images or []) if video.frames is None else video.frames.shape[0]
    if not sent:
        raise InvalidMedia("the video is an empty list of pictures")
    if sent > limits.max_sent_frames:
        raise over("frames sent for one video", sent, "max_sent_frames", limits)
    picks: Sequence[int]
    if video.num_source_frames is None or video.frame_indices is None:
        count, indices = sent, _sample(sent, fps, sampling, limits)
        picks = indices
    else:
        count = video.num_source_frames
        indices = _checked_choice(count, video.frame_indices, sent, fps, sampling, limits)
        picks = range(sent)
    if video.frames is not None:
        _check_frames(video.frames.shape[2], video.frames.shape[1], len(picks), limits)
    return fps, count, indices, picks


def _checked_choice(
    count: int, given: list[int], sent: int, fps: float, sampling: FrameSampling, limits: MediaSettings
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


def _sample(count: int, fps: float, sampling: FrameSampling, limits: MediaSettings) -> tuple[int, ...]:
    if count > limits.max_source_frames:
        raise over("frames of the source", count, "max_source_frames", limits)
    if count / fps > limits.max_duration_s:
        raise over("seconds of video", count / fps, "max_duration_s", limits)
    return sampling.indices(count, fps)


def _check_frames(width: int, height: int, count: int, limits: MediaSettings) -> None:
    if width * height > limits.max_frame_pixels:
        raise over(f"pixels of a {width}x{height} frame", width * height, "max_frame_pixels", limits)
    if count * height * width * 3 > limits.max_decoded_bytes:
        raise over(
            f"bytes of {count} decoded {width}x{height} frames", count * height * width * 3, "max_decoded_bytes", limits
        )


def _checked_probe(
    probe: VideoProbe, fps: float | None, sampling: FrameSampling, limits: MediaSettings
) -> tuple[float, tuple[int, ...]]:
    """(frame rate, indices) of a file that is within the limits."""
    fps = fps or probe.fps
    if not fps or not math.isfinite(fps):
        raise MissingFps("the video file doesn't say how many frames a second it has; send fps with it")
    if probe.duration_s > limits.max_duration_s:
        raise over("seconds of video", probe.duration_s, "max_duration_s", limits)
    indices = _sample(probe.num_frames, fps, sampling, limits)
    _check_frames(probe.width, probe.height, len(indices), limits)
    return fps, indices


def _from_pictures(
    images: Sequence[Image], picks: Sequence[int], limits: MediaSettings, decoder: MediaDecoder
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
