"""A record's files to what a model looks at, and a check that all of them are there before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from identity_reward_client.errors import FrameIndexMismatch
from identity_reward_client.frame_sampling import FrameSampling
from reward_model.data.packed_clip import SUFFIX, read_packed
from reward_model.data.records import PreferencePair, resolve
from reward_model.decoding.decoders import decoder
from reward_model.decoding.images import decode_image
from reward_model.qwen.preprocess import PreparedMedia, Preprocessor
from reward_model.types import ReferenceSet, Video

from ..errors import TrainingError

# of a frame or picture that a record names; its files are trusted more than a request's
MAX_PIXELS = 1 << 26


class MediaSource(Protocol):
    """Where groups get their pictures and videos from. RewardError for what can't be read; OSError for no file."""

    preprocess: Preprocessor

    def references(self, paths: Sequence[Path], mirrored: Sequence[bool]) -> list[PreparedMedia]: ...

    def video(self, path: Path, fps: float | None, mirrored: bool) -> PreparedMedia: ...


class FileMedia:
    """Reads and decodes at every draw."""

    def __init__(self, preprocess: Preprocessor):
        self.preprocess = preprocess

    def references(self, paths: Sequence[Path], mirrored: Sequence[bool]) -> list[PreparedMedia]:
        images = read_references(paths, self.preprocess.config.frame_sampling).images
        turned = ReferenceSet(tuple(_mirrored(i) if m else i for i, m in zip(images, mirrored, strict=True)))
        return [
            self.preprocess.reference(image, key, str(path))
            for image, key, path in zip(turned.images, turned.keys, paths, strict=True)
        ]

    def video(self, path: Path, fps: float | None, mirrored: bool) -> PreparedMedia:
        video = read_video(path, self.preprocess.config.frame_sampling, fps)
        if mirrored:
            video = replace(video, frames_THWC=_mirrored(video.frames_THWC))
        return self.preprocess.video(video)


def _mirrored(picture: np.ndarray) -> np.ndarray:
    """[..., W, 3] left to right."""
    return np.ascontiguousarray(picture[..., ::-1, :])


def read_video(path: Path, sampling: FrameSampling, fps: float | None = None) -> Video:
    """The frames that `sampling` picks of a video file or of a packed clip. `fps`: where the file states none or a
    wrong one. RewardError for what can't be read or doesn't hold those frames; OSError for no file."""
    if path.suffix == SUFFIX:
        return pick(read_packed(path), sampling, path)
    data = path.read_bytes()
    probe = decoder().probe(data, MAX_PIXELS)
    rate = fps or probe.fps
    indices = sampling.indices(probe.num_frames, rate)
    return Video(decoder().decode(data, indices), rate, probe.num_frames, indices)


def pick(video: Video, sampling: FrameSampling, path: Path) -> Video:
    """The sampling's own frames of a packed clip, which may hold more."""
    wanted = sampling.indices(video.num_source_frames, video.fps)
    if wanted == video.frame_indices:
        return video
    places = {index: place for place, index in reversed(list(enumerate(video.frame_indices)))}
    if not places.keys() >= set(wanted):
        raise FrameIndexMismatch(
            f"{path} holds frames {list(video.frame_indices)} of {video.num_source_frames}, and frame sampling "
            f"{sampling.name} looks at {list(wanted)}; pack it with that sampling, or give the video file"
        )
    frames = np.ascontiguousarray(video.frames_THWC[[places[index] for index in wanted]])
    return Video(frames, video.fps, video.num_source_frames, wanted)


def read_references(paths: Sequence[Path], sampling: FrameSampling) -> ReferenceSet:
    """Pictures in the given order. RewardError for what is no picture; OSError for no file."""
    rule = sampling.reference_files
    return ReferenceSet(tuple(decode_image(path.read_bytes(), str(path), MAX_PIXELS, rule) for path in paths))


def files_of(jsonl: Path, pair: PreferencePair) -> list[Path]:
    names = [*(reference.path for reference in pair.references), pair.video_a, pair.video_b]
    return [resolve(jsonl, name) for name in names]


def require_files(jsonl: Path, pairs: Iterable[PreferencePair]) -> None:
    """TrainingError that lists the first missing files and the pairs that name them."""
    missing: dict[Path, str] = {}
    known: set[Path] = set()
    for pair in pairs:
        for path in files_of(jsonl, pair):
            if path not in known and path not in missing:
                if path.is_file():
                    known.add(path)
                else:
                    missing[path] = pair.pair_id
    if missing:
        listed = "".join(f"\n  {path} (pair {pair_id})" for path, pair_id in list(missing.items())[:10])
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise TrainingError(
            f"{jsonl}: {len(missing)} files that it names aren't there; make them, or remove their pairs:{listed}{more}"
        )
