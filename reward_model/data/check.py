"""Checks of a data set before anything is trained or scored on it: records, media files, splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from identity_reward_client.errors import RewardError

from ..decoding.media_decoder import MediaDecoder
from ..decoding.pool import DecodePool
from .packed_clip import SUFFIX, read_packed
from .records import PreferencePair, RecordError, resolve, scan_pairs

MAX_PIXELS = 1 << 26
# frames that are decoded of a video; truncation or damage further on is detected from its packets
_FIRST_FRAMES = 4


@dataclass(frozen=True)
class Problem:
    """kind: in a word or two, such as "missing file". message: one line that names the file or pair."""

    kind: str
    message: str


@dataclass
class FileSummary:
    path: Path
    pairs: list[PreferencePair] = field(default_factory=list)

    @property
    def labels(self) -> Counter[str]:
        return Counter("none" if pair.label is None else pair.label.value for pair in self.pairs)

    @property
    def splits(self) -> list[str]:
        return sorted({pair.split for pair in self.pairs})

    @property
    def people(self) -> set[str]:
        return {person for pair in self.pairs for person in pair.persons}


def read_files(paths: Sequence[Path]) -> tuple[list[FileSummary], list[Problem]]:
    """Every record that can be read, and a problem for each that cannot. RecordError for a file without any record."""
    files, problems = [], []
    for path in paths:
        summary = FileSummary(path)
        faults = []
        for record in scan_pairs(path):
            if isinstance(record, RecordError):
                faults.append(Problem("record", str(record)))
            else:
                summary.pairs.append(record)
        if not summary.pairs:
            first = f"; the first fault: {faults[0].message}" if faults else ""
            raise RecordError(f"{path}: no pairs in it; give a JSONL of preference pairs{first}")
        files.append(summary)
        problems += faults
    return files, problems


def check_records(files: Iterable[FileSummary]) -> Iterator[Problem]:
    """Duplicate ids and people in several splits, over all files together."""
    ids: dict[str, Path] = {}
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        for pair in file.pairs:
            if pair.pair_id in ids:
                other = "twice" if ids[pair.pair_id] == file.path else f"and in {ids[pair.pair_id]}"
                yield Problem("duplicate id", f"{file.path}: pair {pair.pair_id} is there {other}")
            ids.setdefault(pair.pair_id, file.path)
            for person in pair.persons:
                splits[person].setdefault(pair.split, pair.pair_id)
    for person, pair_by_split in splits.items():
        if len(pair_by_split) > 1:
            listed = ", ".join(f"{split} (pair {pair})" for split, pair in sorted(pair_by_split.items()))
            count = len(pair_by_split)
            yield Problem("identity leak", f"{person} is in {count} splits: {listed}; a person belongs to one")


def media_of(files: Iterable[FileSummary]) -> dict[Path, tuple[str, str]]:
    """{file: ("video" or "image", id of the first pair that names it)} over all pairs."""
    media: dict[Path, tuple[str, str]] = {}
    for file in files:
        for pair in file.pairs:
            for video in (pair.video_a, pair.video_b):
                media.setdefault(resolve(file.path, video), ("video", pair.pair_id))
            for reference in pair.references:
                media.setdefault(resolve(file.path, reference.path), ("image", pair.pair_id))
    return media


def check_media(
    files: Sequence[FileSummary], workers: int = 2, on_file: Callable[[], None] = lambda: None
) -> list[Problem]:
    """Missing and undecodable files in the order of `media_of`; one image under several names in several splits; pairs
    of a video with itself.

    Each file is read whole; of a video the first frames are decoded, in worker processes, so that a file that crashes
    its decoder is a problem like any other. A video without a frame rate cannot be decoded. `on_file` is called after
    each file.
    """
    media = media_of(files)
    digests: dict[Path, str] = {}
    pool = DecodePool(workers)

    def check_file(path: Path) -> Problem | None:
        kind, pair_id = media[path]
        problem = _open(path, kind, pool, digests)
        on_file()
        return problem and Problem(problem.kind, f"{path} (pair {pair_id}): {problem.message}")

    try:
        with ThreadPoolExecutor(workers) as threads:
            problems = [problem for problem in threads.map(check_file, media) if problem]
    finally:
        pool.close()
    problems += _shared_images(files, digests)
    for file in files:
        for pair in file.pairs:
            a, b = (digests.get(resolve(file.path, video)) for video in (pair.video_a, pair.video_b))
            if a is not None and a == b:
                problems.append(
                    Problem("equal videos", f"{file.path}: both videos of pair {pair.pair_id} are the same")
                )
    return problems


def _shared_images(files: Iterable[FileSummary], digests: dict[Path, str]) -> Iterator[Problem]:
    """Equal images under several names of people in several splits: the same person is hidden behind several names."""
    uses_by_digest: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for file in files:
        for pair in file.pairs:
            for reference in pair.references:
                digest = digests.get(resolve(file.path, reference.path))
                if digest is not None:
                    uses_by_digest[digest].setdefault(
                        (pair.split, reference.person), f"{reference.path}, pair {pair.pair_id}"
                    )
    for uses in uses_by_digest.values():
        if len({split for split, _ in uses}) > 1 and len({person for _, person in uses}) > 1:
            listed = ", ".join(f"{person} in {split} ({use})" for (split, person), use in sorted(uses.items()))
            yield Problem("identity leak", f"one image is of {listed}; a person has one name and belongs to one split")


def _open(path: Path, kind: str, decoder: MediaDecoder, digests: dict[Path, str]) -> Problem | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Problem("missing file", "no such file")
    except OSError as error:
        return Problem("missing file", f"can't be read ({error.strerror})")
    digests[path] = sha256(data).hexdigest()
    try:
        if kind == "image":
            decoder.image(data, "the reference", MAX_PIXELS, "upright")
        elif path.suffix == SUFFIX:
            read_packed(path)
        else:
            with decoder.video(data, MAX_PIXELS) as video:
                video.frames(range(min(_FIRST_FRAMES, video.probe.num_frames)))
    except RewardError as error:
        return Problem("unreadable file", error.message)
    return None
