"""Features of face tracks of every clip that pairs name, computed once by worker processes and kept by content.

A cache is a folder of `XX/KEY.safetensors`; KEY hashes the video's and the references' bytes and all that decides the
features, so that an interrupted run goes on where it was and a changed file is read anew. Imports no torch: workers
stay small.
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
from reward_model.faces.arcface import bundled_reader
from reward_model.faces.frame_sampling import FACE_TRACKS as SAMPLING
from reward_model.faces.tracks.clip_faces import TRACK_WEIGHT, ClipReader
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, REVISION, ClipFeatures, clip_features
from reward_model.types import Sample

from ..errors import TrainingError
from ..preferences.media import pick, read_references, read_video


@dataclass(frozen=True)
class Clip:
    """A video with its references; their order doesn't matter to the features."""

    video: Path
    references: tuple[Path, ...]
    fps: float | None = None


def clips_of(jsonl: Path, pair: PreferencePair) -> tuple[Clip, Clip]:
    references = tuple(sorted(resolve(jsonl, reference.path) for reference in pair.references))
    return tuple(Clip(resolve(jsonl, name), references, pair.fps) for name in (pair.video_a, pair.video_b))  # type: ignore[return-value]


def extract(clips: Iterable[Clip], folder: Path, workers: int, progress: Progress) -> dict[Clip, ClipFeatures | None]:
    """None for a clip with a reference that shows no face. TrainingError names a file that can't be read."""
    unique = list(dict.fromkeys(clips))
    _require_frames(unique)
    paths = _paths(unique, folder)
    known = {clip: found for clip in unique if (found := _read(paths[clip])) is not None}
    todo: dict[Path, Clip] = {paths[clip]: clip for clip in unique if clip not in known}
    if todo:
        _compute(todo, workers, progress)
        for clip in unique:
            if clip not in known and (found := _read(paths[clip])) is not None:
                known[clip] = found
    return {clip: known[clip].features for clip in unique}


def read_clip(clip: Clip, sampling: FrameSampling = SAMPLING) -> Sample:
    """RewardError for what can't be read, or a packed clip without the frames of the sampling; OSError for no file."""
    return Sample(read_references(clip.references, sampling), read_video(clip.video, sampling, clip.fps))


def _require_frames(clips: Iterable[Clip]) -> None:
    """TrainingError for a packed clip that holds other frames than the scorer looks at: it would refuse them."""
    for path in dict.fromkeys(clip.video for clip in clips if clip.video.suffix == SUFFIX):
        try:
            pick(read_packed(path), SAMPLING, path)
        except FrameIndexMismatch:
            raise TrainingError(
                f"{path} is a packed clip without the frames that face-tracks looks at; make the data with --frames "
                f"mp4, or with --frames packed --packed-frames {SAMPLING.num_frames} in a size that shows faces"
            ) from None
        except (RewardError, OSError) as error:
            raise TrainingError(f"{path}: {error}; mend it, or remove its pairs") from None


@dataclass(frozen=True, eq=False)
class _Known:
    features: ClipFeatures | None


def _paths(clips: Sequence[Clip], folder: Path) -> dict[Clip, Path]:
    reader = ClipReader(bundled_reader())
    deciding = {
        "revision": REVISION,
        "features": [list(FRAME_FEATURES), list(PERSON_FEATURES)],
        "sampling": asdict(SAMPLING),
        "tracks": [asdict(reader.rule), TRACK_WEIGHT],
        "networks": [reader.reader.detector.model.sha256, reader.reader.embedder.model.sha256],
        "detection": asdict(reader.reader.detector.config),
    }
    salt = dumps(deciding, sort_keys=True)

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


def _read(path: Path) -> _Known | None:
    """None where nothing whole is kept."""
    try:
        with safe_open(path, "numpy") as file:
            if "without_face" in (file.metadata() or {}):
                return _Known(None)
            return _Known(ClipFeatures(file.get_tensor("frames"), file.get_tensor("person")))
    except (OSError, SafetensorError):
        return None


def _write(path: Path, features: ClipFeatures | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    if features is None:
        save_file({"nothing": np.zeros(1, np.float32)}, whole, {"without_face": "1"})
    else:
        save_file({"frames": features.frames_PTF, "person": features.person_PC}, whole)
    os.replace(whole, path)


def _compute(todo: dict[Path, Clip], workers: int, progress: Progress) -> None:
    with (
        progress("faces of clips", len(todo)) as steps,
        closing(in_processes(_work, list(todo.items()), workers)) as results,
    ):
        for _, fault in results:
            if fault is not None:
                raise TrainingError(fault)
            steps.advance()


def in_processes(
    work: Callable[..., Any], tasks: Sequence[tuple], workers: int
) -> Generator[tuple[tuple, Any], None, None]:
    """`results_of`, and TrainingError where a process died."""
    try:
        yield from results_of(work, tasks, min(workers, len(tasks)))
    except BrokenProcessPool:
        raise TrainingError(
            f"a process that reads clips died, of {workers} (out of memory? each takes about 300 MB); what it had read "
            "is kept: the same command goes on there, with --resume where it has that; fewer `workers` take less"
        ) from None


@cache
def _reader() -> ClipReader:
    """One for a worker process."""
    return ClipReader(bundled_reader())


def _work(path: Path, clip: Clip) -> str | None:
    """What is wrong with the clip's files, if anything."""
    try:
        _write(path, clip_features(_reader().read(read_clip(clip))))
    except ReferenceWithoutFace:
        _write(path, None)
    except (RewardError, OSError) as error:
        return f"{clip.video}: {error}; mend it, or remove its pairs"
    return None
