"""Face-track features of clips, computed once by worker processes and cached on disk by content.

A cache is a folder of `XX/KEY.safetensors`. KEY hashes the bytes of the video and of the references and everything that
determines the features, so that an interrupted run continues and a changed file is read again. Nothing here imports
torch: worker processes stay small.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from identity_reward_client.errors import FrameIndexMismatch, ReferenceWithoutFace, RewardError
from identity_reward_client.frame_sampling import FrameSampling
from reward_model.data.packed_clip import SUFFIX, read_packed
from reward_model.data.progress import Progress
from reward_model.data.records import PreferencePair, resolve
from reward_model.data.workers import results_of
from reward_model.faces.frame_sampling import FACE_TRACKS as SAMPLING
from reward_model.faces.recognition.reader import bundled_reader
from reward_model.faces.tracks import copies
from reward_model.faces.tracks.clip_faces import TRACK_WEIGHT, ClipReader
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, REVISION, ClipFeatures, clip_features
from reward_model.types import Sample

from ..data.media import read_references, read_video, select_frames
from ..errors import TrainingError


@dataclass(frozen=True)
class ClipFiles:
    """A video file with its reference images; features do not depend on the order of the references."""

    video: Path
    references: tuple[Path, ...]
    fps: float | None = None


def clips_of(jsonl: Path, pair: PreferencePair) -> tuple[ClipFiles, ClipFiles]:
    """Files of video A and of video B."""
    references = tuple(sorted(resolve(jsonl, reference.path) for reference in pair.references))
    a, b = (ClipFiles(resolve(jsonl, name), references, pair.fps) for name in (pair.video_a, pair.video_b))
    return a, b


def extract(
    clips: Iterable[ClipFiles], folder: Path, workers: int, progress: Progress
) -> dict[ClipFiles, ClipFeatures | None]:
    """Features of each clip from the cache `folder` or computed; None where a reference shows no face.

    The TrainingError of an unreadable file names it.
    """
    unique = list(dict.fromkeys(clips))
    _require_frames(unique)
    paths = _paths(unique, folder)
    cached = {clip: entry for clip in unique if (entry := _read(paths[clip])) is not None}
    pending: dict[Path, ClipFiles] = {paths[clip]: clip for clip in unique if clip not in cached}
    if pending:
        _compute(pending, workers, progress)
        for clip in unique:
            if clip not in cached and (entry := _read(paths[clip])) is not None:
                cached[clip] = entry
    return {clip: cached[clip].features for clip in unique}


def read_clip(clip: ClipFiles, sampling: FrameSampling = SAMPLING) -> Sample:
    """Raises RewardError for an unreadable file or a packed clip without the sampling's frames, OSError for no
    file."""
    return Sample(read_references(clip.references, sampling), read_video(clip.video, sampling, clip.fps))


def _require_frames(clips: Iterable[ClipFiles]) -> None:
    """Raises TrainingError for a packed clip without the frames that the scorer looks at."""
    for path in dict.fromkeys(clip.video for clip in clips if clip.video.suffix == SUFFIX):
        try:
            select_frames(read_packed(path), SAMPLING, path)
        except FrameIndexMismatch:
            raise TrainingError(
                f"{path} is a packed clip without the frames that face-tracks looks at; make the data with --frames "
                f"mp4, or with --frames packed --packed-frames {SAMPLING.num_frames} in a size that shows faces"
            ) from None
        except (RewardError, OSError) as error:
            raise TrainingError(f"{path}: {error}; mend it, or remove its pairs") from None


@dataclass(frozen=True, eq=False)
class _Entry:
    """A cached result; None where a reference shows no face."""

    features: ClipFeatures | None


def _paths(clips: Sequence[ClipFiles], folder: Path) -> dict[ClipFiles, Path]:
    reader = ClipReader(bundled_reader())
    settings = {
        "revision": REVISION,
        "copies_revision": copies.REVISION,
        "features": [list(FRAME_FEATURES), list(PERSON_FEATURES)],
        "sampling": asdict(SAMPLING),
        "tracks": [asdict(reader.rule), TRACK_WEIGHT],
        "networks": [reader.reader.detector.model.sha256, reader.reader.embedder.model.sha256],
        "detection": asdict(reader.reader.detector.config),
    }
    salt = dumps(settings, sort_keys=True)

    @cache
    def digest(path: Path) -> str:
        return sha256(path.read_bytes()).hexdigest()

    paths = {}
    for clip in clips:
        try:
            content = [digest(clip.video), sorted(map(digest, clip.references)), clip.fps]
        except OSError as error:
            raise TrainingError(
                f"can't read {error.filename}: {error.strerror}; make it, or remove its pairs"
            ) from None
        key = sha256((salt + dumps(content)).encode()).hexdigest()
        paths[clip] = folder / key[:2] / f"{key}.safetensors"
    return paths


def _read(path: Path) -> _Entry | None:
    """The cached entry; None where there is none or it is damaged."""
    try:
        with safe_open(path, "numpy") as file:
            if "without_face" in (file.metadata() or {}):
                return _Entry(None)
            return _Entry(ClipFeatures(file.get_tensor("frames"), file.get_tensor("person")))
    except (OSError, SafetensorError):
        return None


def _write(path: Path, features: ClipFeatures | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    if features is None:
        save_file({"nothing": np.zeros(1, np.float32)}, partial, {"without_face": "1"})
    else:
        save_file({"frames": features.frames_PTF, "person": features.person_PC}, partial)
    os.replace(partial, path)


def _compute(pending: dict[Path, ClipFiles], workers: int, progress: Progress) -> None:
    with (
        progress("faces of clips", len(pending)) as steps,
        closing(in_processes(_extract_clip, list(pending.items()), workers)) as results,
    ):
        for _, problem in results:
            if problem is not None:
                raise TrainingError(problem)
            steps.advance()


def in_processes(
    work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], workers: int
) -> Generator[tuple[tuple[Any, ...], Any], None, None]:
    """`data.workers.results_of`, with a TrainingError where a process died."""
    try:
        yield from results_of(work, tasks, min(workers, len(tasks)))
    except BrokenProcessPool:
        raise TrainingError(
            f"a process that reads clips died, of {workers} (out of memory? each takes about 300 MB); what it had read "
            "is kept: the same command goes on there, with --resume where it has that; fewer `workers` take less"
        ) from None


@cache
def _reader() -> ClipReader:
    """The reader of a worker process."""
    return ClipReader(bundled_reader())


def _extract_clip(path: Path, clip: ClipFiles) -> str | None:
    """Computes and caches features; an error message where a file of the clip is unreadable."""
    try:
        _write(path, clip_features(_reader().read(read_clip(clip))))
    except ReferenceWithoutFace:
        _write(path, None)
    except (RewardError, OSError) as error:
        return f"{clip.video}: {error}; mend it, or remove its pairs"
    return None
