"""JSONL files of preference pairs with labels, and checks of them before a training starts."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Pairs with a label that were read from a JSONL, and how many had none."""

    path: Path
    pairs: tuple[PreferencePair, ...]
    # pairs that were left out because their votes have no majority
    num_undecided: int

    @property
    def num_ties(self) -> int:
        return sum(pair.label == Preference.TIE for pair in self.pairs)


def read_pair_file(path: str | Path) -> PairFile:
    """Raises RecordError for a file that is no file of pairs, TrainingError where no pair has a label or a media file
    is missing."""
    path = Path(path)
    pairs = read_pairs(path)
    labelled = tuple(pair for pair in pairs if pair.has_label)
    if not labelled:
        raise TrainingError(f"{path}: none of its {len(pairs)} pairs has a majority; none says which video is better")
    require_files(path, labelled)
    return PairFile(path, labelled, len(pairs) - len(labelled))


def check_labels(files: Sequence[PairFile], learns_from_ties: bool) -> list[str]:
    """Warnings about the labels of all files together. Raises TrainingError where no pair says which video is
    better."""
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
    """Up to five persons that references of both show, comma-separated for a message; empty where there are none."""
    persons_1, persons_2 = ({person for pair in pairs for person in pair.persons} for pairs in (first, second))
    shared = sorted(persons_1 & persons_2)
    more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
    return ", ".join(shared[:5]) + more


def require_held_out(trained: PairFile, dev: PairFile) -> None:
    """Raises TrainingError where a person of the training pairs is also in the pairs that are measured on."""
    if shared := shared_persons(trained.pairs, dev.pairs):
        raise TrainingError(
            f"{trained.path} and {dev.path} show the same persons: {shared}; what is measured on them says nothing of "
            "other people. Measure on pairs of others, or on none"
        )


def sign(pair: PreferencePair) -> int:
    """+1 (A is better), 0 (tie) or -1 (B is better); KeyError for a pair without a label."""
    return SIGNS[pair.label]


def signs_of(pairs: Sequence[PreferencePair]) -> np.ndarray:
    """int8 [N] in {+1, 0, -1}, as `sign`."""
    return np.array([sign(pair) for pair in pairs], np.int8)
