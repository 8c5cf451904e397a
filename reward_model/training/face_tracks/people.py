"""People of preference pairs: splits that share nobody, impostors included, and additional pairs with strangers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.people.photographs.openpeople import PEOPLE as PHOTOGRAPHED
from reward_model.data.records import PreferencePair, Votes
from reward_model.data.seeding import generator

from ..data.casts import by_cast, comparisons_of, corruptions_of, good_videos, persons_of
from ..errors import TrainingError

# number of random sets of people that are tried as held out; the one that keeps the most pairs is taken
_ATTEMPTS = 24


def people_of(pair: PreferencePair) -> frozenset[str]:
    """Everybody whom a pair shows: in its references, and in its clips as `meta["people"]` says."""
    return frozenset(pair.persons) | frozenset(pair.meta.get("people") or ())


def require_people(path: str | Path, pairs: Iterable[PreferencePair], held_out: Iterable[str]) -> None:
    """Raises TrainingError for a pair that does not say whom its clips show, where those may be people of `held_out` or
    of OpenPeople, whose photographs are used as impostors of each other."""
    people = {*PHOTOGRAPHED, *held_out}
    for pair in pairs:
        if not pair.meta.get("people") and people.intersection(pair.persons):
            raise TrainingError(
                f"{path}: pair {pair.pair_id} of {', '.join(pair.persons)} lacks meta.people, everybody whom its clips "
                "show, so nobody can be held out; make photographs again with this version's identity-reward data "
                "people --photos, or add the names"
            )


def stranger_pairs(pairs: Sequence[PreferencePair], per_cast: int, seed: int) -> list[PreferencePair]:
    """Additional pairs of each cast against clips of other people, at most 2 * `per_cast` of them.

    A random good clip of other people is the worse one beside a good clip of the cast, and beside a corrupted clip of
    the cast where records list corruptions. Few pairs of a data set show strangers alone, and those matter most. Casts
    without a good clip, and those that share persons with all others, get none.
    """
    casts = [(cast, persons_of(cast), good) for cast in by_cast(pairs) if (good := good_videos(cast))]
    added: list[PreferencePair] = []
    for cast, persons, good in casts:
        rng = generator(seed, "strangers", cast[0].pair_id)
        videos = comparisons_of(cast)[0]
        corruptions = corruptions_of(cast).items()
        corrupted = sorted(video for video, names in corruptions if names and "wrong-person" not in names)
        others = [entry for entry in casts if len(entry[1]) == len(persons) and entry[1].isdisjoint(persons)]
        for number in range(per_cast if others else 0):
            other, strangers, good_of_other = others[int(rng.integers(len(others)))]
            better = {"good": videos[int(rng.choice(good))]}
            worse = comparisons_of(other)[0][int(rng.choice(good_of_other))]
            if corrupted:
                better["failing"] = corrupted[int(rng.integers(len(corrupted)))]
            meta = {"mode": "stranger", "cluster": cast[0].cluster}
            for kind, video in better.items():
                added.append(
                    cast[0].model_copy(
                        update={
                            "pair_id": f"{cast[0].pair_id}-stranger-{number}-{kind}",
                            "video_a": video,
                            "video_b": worse,
                            "label": Preference.A,
                            "votes": Votes(A=1),
                            "source": "construction",
                            "meta": {**meta, "people": sorted(_shown_in(video, cast) | persons | strangers)},
                        }
                    )
                )
    return added


def _shown_in(video: str, cast: Sequence[PreferencePair]) -> frozenset[str]:
    """Everybody whom the pairs with this video show."""
    return frozenset().union(*(people_of(pair) for pair in cast if video in (pair.video_a, pair.video_b)))


def split_people(pairs: Sequence[PreferencePair], share: float, seed: int) -> tuple[list[int], list[int]]:
    """(indices of the rest, indices of about `share` of the pairs), such that no person is in both parts.

    Casts that share nobody with others are held out whole. Where casts share people, as photographs do, some people are
    held out with the pairs that show them alone; pairs that show both those and others are in neither part. Raises
    TrainingError where no people can be held out.
    """
    separate: list[list[int]] = []
    sharing: list[list[int]] = []
    for group in _connected(pairs):
        (separate if len({pairs[i].cluster for i in group}) == 1 else sharing).append(group)
    rng = generator(seed, "dev casts")
    order = rng.permutation(len(separate))
    count = max(round(share * len(separate)), 1) if len(separate) > 1 else 0
    rest = [i for n in order[count:] for i in separate[n]]
    held_out = [i for n in order[:count] for i in separate[n]]
    for group in sharing:
        outside, inside = _split_group([people_of(pairs[i]) for i in group], share, rng)
        rest += [group[n] for n in outside]
        held_out += [group[n] for n in inside]
    if not held_out or not rest:
        casts = sorted({pair.cluster for pair in pairs})
        raise TrainingError(
            f"no people can be held out of {len(pairs)} pairs of {len(casts)} casts ({', '.join(casts[:3])}...): all "
            "are connected by shared people; give a file for dev, or pairs of more people"
        )
    return sorted(rest), sorted(held_out)


def _connected(pairs: Sequence[PreferencePair]) -> list[list[int]]:
    """Connected components of pairs by shared people or casts, as indices in the order of the pairs (union-find)."""
    root: dict[tuple[str, str], tuple[str, str]] = {}

    def find(key: tuple[str, str]) -> tuple[str, str]:
        while root.setdefault(key, key) != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    for pair in pairs:
        for person in people_of(pair):
            root[find(("person", person))] = find(("cast", pair.cluster))
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        groups[find(("cast", pair.cluster))].append(index)
    return list(groups.values())


def _split_group(
    people: Sequence[frozenset[str]], share: float, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """(indices without the held-out people, indices with nobody else), given the people of each pair.

    Of several random orders of people, the fewest that give `share` are held out; the order that keeps the most pairs
    is taken. (all, none) where no order leaves both parts with a pair.
    """
    names = sorted(frozenset().union(*people))
    pairs_of = {name: [n for n, shown in enumerate(people) if name in shown] for name in names}
    sizes = np.array([len(shown) for shown in people])
    best: tuple[list[int], list[int]] = list(range(len(people))), []
    best_used = 0
    for _ in range(_ATTEMPTS):
        held_N = np.zeros(len(people), int)
        for index in rng.permutation(len(names)):
            held_N[pairs_of[names[index]]] += 1
            outside, inside = np.flatnonzero(held_N == 0), np.flatnonzero(held_N == sizes)
            num_used = len(outside) + len(inside)
            if len(inside) >= share * num_used:
                if len(outside) and num_used > best_used:
                    best, best_used = (outside.tolist(), inside.tolist()), num_used
                break
    return best


def folds_of(pairs: Sequence[PreferencePair], folds: int, seed: int) -> list[frozenset[str]]:
    """Random groups of people whose sizes differ by one at most; TrainingError for more folds than people."""
    people = sorted({person for pair in pairs for person in people_of(pair)})
    if not 2 <= folds <= len(people):
        raise TrainingError(f"{folds} folds of {len(people)} people; give 2 to {len(people)}")
    order = generator(seed, "folds").permutation(len(people))
    return [frozenset(people[i] for i in order[start::folds]) for start in range(folds)]
