"""Reading of the images and videos that records name, and a check that all of them exist."""

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

# maximum pixels of a frame or an image; files of a data set are trusted more than those of a request
MAX_PIXELS = 1 << 26


class MediaSource(Protocol):
    """Source of preprocessed images and videos. Raises RewardError for an unreadable file, OSError for none."""

    preprocess: Preprocessor

    def references(self, paths: Sequence[Path], mirrored: Sequence[bool]) -> list[PreparedMedia]:
        """One medium for each reference image, flipped left to right where `mirrored`."""
        ...

    def video(self, path: Path, fps: float | None, mirrored: bool) -> PreparedMedia:
        """The sampled frames of a video. `fps` overrides the rate that the file states."""
        ...


class FileMedia:
    """A `MediaSource` that reads and decodes files at every call."""

    def __init__(self, preprocess: Preprocessor):
        self.preprocess = preprocess

    def references(self, paths: Sequence[Path], mirrored: Sequence[bool]) -> list[PreparedMedia]:
        images = read_references(paths, self.preprocess.config.frame_sampling).images
        flipped = ReferenceSet(tuple(_mirrored(i) if m else i for i, m in zip(images, mirrored, strict=True)))
        return [
            self.preprocess.reference(image, key, str(path))
            for image, key, path in zip(flipped.images, flipped.keys, paths, strict=True)
        ]

    def video(self, path: Path, fps: float | None, mirrored: bool) -> PreparedMedia:
        video = read_video(path, self.preprocess.config.frame_sampling, fps)
        if mirrored:
            video = replace(video, frames_THWC=_mirrored(video.frames_THWC))
        return self.preprocess.video(video)


def _mirrored(pixels: np.ndarray) -> np.ndarray:
    """[..., W, 3], flipped left to right."""
    return np.ascontiguousarray(pixels[..., ::-1, :])


def read_video(path: Path, sampling: FrameSampling, fps: float | None = None) -> Video:
    """The frames that `sampling` selects from a video file or a packed clip.

    `fps` overrides the rate that a file states. Raises RewardError for a file that is unreadable or lacks those
    frames, OSError for no file.
    """
    if path.suffix == SUFFIX:
        return select_frames(read_packed(path), sampling, path)
    data = path.read_bytes()
    probe = decoder().probe(data, MAX_PIXELS)
    rate = fps or probe.fps
    indices = sampling.indices(probe.num_frames, rate)
    return Video(decoder().decode(data, indices), rate, probe.num_frames, indices)


def select_frames(video: Video, sampling: FrameSampling, path: Path) -> Video:
    """The frames that `sampling` selects from a packed clip, which may hold more. FrameIndexMismatch where one is
    missing."""
    indices = sampling.indices(video.num_source_frames, video.fps)
    if indices == video.frame_indices:
        return video
    positions = {index: position for position, index in reversed(list(enumerate(video.frame_indices)))}
    if not positions.keys() >= set(indices):
        raise FrameIndexMismatch(
            f"{path} holds frames {list(video.frame_indices)} of {video.num_source_frames}, and frame sampling "
            f"{sampling.name} looks at {list(indices)}; pack it with that sampling, or give the video file"
        )
    frames = np.ascontiguousarray(video.frames_THWC[[positions[index] for index in indices]])
    return Video(frames, video.fps, video.num_source_frames, indices)


def read_references(paths: Sequence[Path], sampling: FrameSampling) -> ReferenceSet:
    """Reference images in the given order. Raises RewardError for a file that is no image, OSError for no file."""
    rule = sampling.reference_files
    return ReferenceSet(tuple(decode_image(path.read_bytes(), str(path), MAX_PIXELS, rule) for path in paths))


def files_of(jsonl: Path, pair: PreferencePair) -> list[Path]:
    """Paths of the references and of both videos of a pair."""
    names = [*(reference.path for reference in pair.references), pair.video_a, pair.video_b]
    return [resolve(jsonl, name) for name in names]


def require_files(jsonl: Path, pairs: Iterable[PreferencePair]) -> None:
    """Raises a TrainingError that lists the first ten missing files and the pairs that name them."""
    missing: dict[Path, str] = {}
    present: set[Path] = set()
    for pair in pairs:
        for path in files_of(jsonl, pair):
            if path not in present and path not in missing:
                if path.is_file():
                    present.add(path)
                else:
                    missing[path] = pair.pair_id
    if missing:
        listed = "".join(f"\n  {path} (pair {pair_id})" for path, pair_id in list(missing.items())[:10])
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise TrainingError(
            f"{jsonl}: {len(missing)} files that it names aren't there; make them, or remove their pairs:{listed}{more}"
        )
