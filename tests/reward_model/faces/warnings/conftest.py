"""Clips of files, as the scorers of faces see them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reward_model.faces.frame_sampling import FACE_TRACKS
from reward_model.faces.tracks.clip_faces import ClipFaces, ClipReader
from reward_model.training.data.media import read_references, read_video
from reward_model.types import Sample


@pytest.fixture(scope="session")
def file_sample() -> Callable[..., Sample]:
    """(video, reference, ...) -> the sample of these files."""
    return lambda video, *references: Sample(
        read_references(references, FACE_TRACKS), read_video(Path(video), FACE_TRACKS, None)
    )


@pytest.fixture(scope="session")
def clip_reader(scorer) -> ClipReader:
    return ClipReader(scorer.reader)


@pytest.fixture(scope="session")
def file_clip(file_sample, clip_reader) -> Callable[..., ClipFaces]:
    return lambda *files: clip_reader.read(file_sample(*files))
