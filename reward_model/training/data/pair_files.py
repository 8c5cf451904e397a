"""Files of preference pairs, checked, and what is made of them read by threads ahead of the step that needs it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.records import PreferencePair, read_pairs

from ..errors import TrainingError
from .media import require_files

SIGNS: dict[Preference | None, int] = {Preference.A: 1, Preference.TIE: 0, Preference.B: -1}


@dataclass(frozen=True)
class PairFile:
    """The pairs of a JSONL that have a label."""

    path: Path
    pairs: tuple[PreferencePair, ...]
    # left out, for want of a majority
    num_undecided: int

    @property
    def num_ties(self) -> int:
        return sum(pair.label == Preference.TIE for pair in self.pairs)


def read_pair_file(path: str | Path) -> PairFile:
    """RecordError for what is no file of pairs; TrainingError where none has a label or a file is missing."""
    path = Path(path)
    pairs = read_pairs(path)
    labelled = tuple(pair for pair in pairs if pair.has_label)
    if not labelled:
        raise TrainingError(f"{path}: none of its {len(pairs)} pairs has a majority; none says which video is better")
    require_files(path, labelled)
    return PairFile(path, labelled, len(pairs) - len(labelled))


def check_labels(files: Sequence[PairFile], learns_from_ties: bool) -> list[str]:
    """Warnings. TrainingError where the labels can't teach which video is better."""
    labels = [pair.label for file in files for pair in file.pairs]
    names = " and ".join(str(file.path) for file in files)
    if (counts := {label: labels.count(label) for label in Preference})[Preference.TIE] == len(labels):
        why = "" if learns_from_ties else ", and this loss leaves ties out"
        raise TrainingError(f"{names}: all {len(labels)} pairs are ties{why}; nothing says which video is better")
    warnings = [f"{file.path}: {file.num_undecided} pairs without a majority are left out" for file in files
                if file.num_undecided]  # fmt: skip
    if 0 in (counts[Preference.A], counts[Preference.B]):
        only = Preference.A if counts[Preference.A] else Preference.B
        warnings.append(f"{names}: every decided pair says {only}; check that the file isn't ordered by mistake")
    return warnings


def shared_persons(first: Sequence[PreferencePair], second: Sequence[PreferencePair]) -> str:
    """Some of the persons that references of both show, for a message; empty where there are none."""
    one, other = ({person for pair in pairs for person in pair.persons} for pairs in (first, second))
    shared = sorted(one & other)
    more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
    return ", ".join(shared[:5]) + more


def require_held_out(trained: PairFile, dev: PairFile) -> None:
    """TrainingError where somebody is in training pairs and in those that are measured on."""
    if shared := shared_persons(trained.pairs, dev.pairs):
        raise TrainingError(
            f"{trained.path} and {dev.path} show the same persons: {shared}; what is measured on them says nothing of "
            "other people. Measure on pairs of others, or on none"
        )


def read_ahead(tasks: Iterator, load, workers: int, ahead: int) -> Iterator:
    """`load(*task)` of every task, in order, computed by threads; an error is raised where its result was due.

    At most `ahead` tasks are under way or waiting, besides those of the consumer.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="pairs") as pool:
        waiting: deque[Future] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(load, *task))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def sign(pair: PreferencePair) -> int:
    """+1, 0 or -1; KeyError for a pair without a label."""
    return SIGNS[pair.label]


def labels_of(pairs: Sequence[PreferencePair]) -> np.ndarray:
    """[N] int8 in {+1, 0, -1}."""
    return np.array([sign(pair) for pair in pairs], np.int8)
