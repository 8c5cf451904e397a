"""What is wrong with a data set before anything is trained or scored on it: records, media, splits."""

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
# of a video: a file that is cut or damaged further on shows it in its packets
_FIRST_FRAMES = 4


@dataclass(frozen=True)
class Problem:
    kind: str
    what: str


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
    """Every record that can be read, and a problem for each that can't. RecordError for a file without a single one."""
    files, problems = [], []
    for path in paths:
        summary = FileSummary(path)
        faults = []
        for found in scan_pairs(path):
            if isinstance(found, RecordError):
                faults.append(Problem("record", str(found)))
            else:
                summary.pairs.append(found)
        if not summary.pairs:
            first = f"; the first fault: {faults[0].what}" if faults else ""
            raise RecordError(f"{path}: no pairs in it; give a JSONL of preference pairs{first}")
        files.append(summary)
        problems += faults
    return files, problems


def check_records(files: Iterable[FileSummary]) -> Iterator[Problem]:
    """Ids that come twice and people who are in two splits, over all files together."""
    ids: dict[str, Path] = {}
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        for pair in file.pairs:
            if pair.pair_id in ids:
                where = "twice" if ids[pair.pair_id] == file.path else f"and in {ids[pair.pair_id]}"
                yield Problem("duplicate id", f"{file.path}: pair {pair.pair_id} is there {where}")
            ids.setdefault(pair.pair_id, file.path)
            for person in pair.persons:
                splits[person].setdefault(pair.split, pair.pair_id)
    for person, found in splits.items():
        if len(found) > 1:
            places = ", ".join(f"{split} (pair {pair})" for split, pair in sorted(found.items()))
            yield Problem("identity leak", f"{person} is in {len(found)} splits: {places}; a person belongs to one")


def media_of(files: Iterable[FileSummary]) -> dict[Path, tuple[str, str]]:
    """{file: ("video" or "picture", the first pair that names it)} over all pairs."""
    media: dict[Path, tuple[str, str]] = {}
    for file in files:
        for pair in file.pairs:
            for video in (pair.video_a, pair.video_b):
                media.setdefault(resolve(file.path, video), ("video", pair.pair_id))
            for reference in pair.references:
                media.setdefault(resolve(file.path, reference.path), ("picture", pair.pair_id))
    return media


def check_media(
    files: Sequence[FileSummary], workers: int = 2, told: Callable[[], None] = lambda: None
) -> list[Problem]:
    """Files that are missing or can't be decoded, in the order of `media_of`; one picture of people of several names
    in several splits; pairs of a video with itself.

    Each file is read whole; of a video the first frames are decoded, in worker processes, so that a file that ends
    its decoder is a problem like another. A video without a frame rate is one that can't be decoded.
    """
    media = media_of(files)
    digests: dict[Path, str] = {}
    pool = DecodePool(workers)

    def look(path: Path) -> Problem | None:
        kind, pair_id = media[path]
        problem = _open(path, kind, pool, digests)
        told()
        return problem and Problem(problem.kind, f"{path} (pair {pair_id}): {problem.what}")

    try:
        with ThreadPoolExecutor(workers) as threads:
            problems = [problem for problem in threads.map(look, media) if problem]
    finally:
        pool.close()
    problems += _shared_pictures(files, digests)
    for file in files:
        for pair in file.pairs:
            a, b = (digests.get(resolve(file.path, video)) for video in (pair.video_a, pair.video_b))
            if a is not None and a == b:
                problems.append(
                    Problem("equal videos", f"{file.path}: both videos of pair {pair.pair_id} are the same")
                )
    return problems


def _shared_pictures(files: Iterable[FileSummary], digests: dict[Path, str]) -> Iterator[Problem]:
    """Equal pictures under several names of people in several splits: one person under names that hide it."""
    found: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for file in files:
        for pair in file.pairs:
            for reference in pair.references:
                digest = digests.get(resolve(file.path, reference.path))
                if digest is not None:
                    found[digest].setdefault((pair.split, reference.person), f"{reference.path}, pair {pair.pair_id}")
    for places in found.values():
        if len({split for split, _ in places}) > 1 and len({person for _, person in places}) > 1:
            told = ", ".join(f"{person} in {split} ({where})" for (split, person), where in sorted(places.items()))
            yield Problem("identity leak", f"one picture is of {told}; a person has one name and belongs to one split")


def _open(path: Path, kind: str, decoder: MediaDecoder, digests: dict[Path, str]) -> Problem | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Problem("missing file", "no such file")
    except OSError as error:
        return Problem("missing file", f"can't be read ({error.strerror})")
    digests[path] = sha256(data).hexdigest()
    try:
        if kind == "picture":
            decoder.image(data, "the reference", MAX_PIXELS, "upright")
        elif path.suffix == SUFFIX:
            read_packed(path)
        else:
            with decoder.video(data, MAX_PIXELS) as video:
                video.frames(range(min(_FIRST_FRAMES, video.probe.num_frames)))
    except RewardError as error:
        return Problem("unreadable file", error.message)
    return None
