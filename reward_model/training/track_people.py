"""Who is seen in pairs: parts of a data set that share nobody, impostors included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..data.people.openpeople import PEOPLE as PHOTOGRAPHED
from ..data.records import PreferencePair
from .draws import generator
from .errors import TrainingError


def people_of(pair: PreferencePair) -> frozenset[str]:
    """Everybody a pair shows: its references, and whoever else is in the clips, as `meta["people"]` says."""
    return frozenset(pair.persons) | frozenset(pair.meta.get("people") or ())


def require_people(path: str | Path, pairs: Iterable[PreferencePair], held_out: Iterable[str]) -> None:
    """TrainingError for a pair that doesn't say who is in its clips although those may be people of `held_out`, or
    OpenPeople's, who stand in for each other."""
    known = {*PHOTOGRAPHED, *held_out}
    for pair in pairs:
        if not pair.meta.get("people") and known.intersection(pair.persons):
            raise TrainingError(
                f"{path}: pair {pair.pair_id} of {', '.join(pair.persons)} lacks meta.people, everybody whom its clips show, so "
                "nobody can be held out; make photographs again with this version's identity-reward data people "
                "--photos, or add the names"
            )


def folds_of(pairs: Sequence[PreferencePair], folds: int, seed: int) -> list[frozenset[str]]:
    """Groups of people, as equal in size as can be."""
    people = sorted({person for pair in pairs for person in people_of(pair)})
    if not 2 <= folds <= len(people):
        raise TrainingError(f"{folds} folds of {len(people)} people; give 2 to {len(people)}")
    order = generator(seed, "folds").permutation(len(people))
    return [frozenset(people[i] for i in order[start::folds]) for start in range(folds)]
