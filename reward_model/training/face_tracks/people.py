"""Who is seen in pairs: parts of a data set that share nobody, impostors included; and pairs with strangers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.people.photographs.openpeople import PEOPLE as PHOTOGRAPHED
from reward_model.data.records import PreferencePair, Votes
from reward_model.data.seeding import generator

from ..errors import TrainingError
from ..preferences.groups import by_cast, compared, good_videos, modes_of, persons_of

# of the people to hold out; one that keeps most pairs is taken
_DRAWS = 24


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
                f"{path}: pair {pair.pair_id} of {', '.join(pair.persons)} lacks meta.people, everybody whom its clips "
                "show, so nobody can be held out; make photographs again with this version's identity-reward data "
                "people --photos, or add the names"
            )


def stranger_pairs(pairs: Sequence[PreferencePair], per_cast: int, seed: int) -> list[PreferencePair]:
    """For every cast so many good clips of as many other people, each the worse one beside a good clip of the cast, and
    beside one that fails in another way than by showing strangers, where records tell how a video fails.

    Whoever learns from a few failures of each kind sees few whole strangers, and those are what matters most. Casts
    without a good clip, and those to whom everybody is known, have none.
    """
    casts = [(cast, persons_of(cast), good_videos(cast)) for cast in by_cast(pairs)]
    casts = [one for one in casts if one[2]]
    made: list[PreferencePair] = []
    for cast, persons, good in casts:
        draw = generator(seed, "strangers", cast[0].pair_id)
        videos = compared(cast)[0]
        # in another way than by showing somebody else all the time
        failing = sorted(video for video, modes in modes_of(cast).items() if modes and "wrong-person" not in modes)
        others = [one for one in casts if len(one[1]) == len(persons) and one[1].isdisjoint(persons)]
        for number in range(per_cast if others else 0):
            other, strangers, theirs = others[int(draw.integers(len(others)))]
            better = {"good": videos[int(draw.choice(good))]}
            worse = compared(other)[0][int(draw.choice(theirs))]
            if failing:
                better["failing"] = failing[int(draw.integers(len(failing)))]
            meta = {"mode": "stranger", "cluster": cast[0].cluster}
            for kind, video in better.items():
                made.append(
                    cast[0].model_copy(
                        update={
                            "pair_id": f"{cast[0].pair_id}-stranger-{number}-{kind}",
                            "video_a": video,
                            "video_b": worse,
                            "label": Preference.A,
                            "votes": Votes(A=1),
                            "source": "construction",
                            "meta": {**meta, "people": sorted(_seen_in(video, cast) | persons | strangers)},
                        }
                    )
                )
    return made


def _seen_in(video: str, cast: Sequence[PreferencePair]) -> frozenset[str]:
    """Everybody whom the pairs with this video show."""
    return frozenset().union(*(people_of(pair) for pair in cast if video in (pair.video_a, pair.video_b)))


def split_people(pairs: Sequence[PreferencePair], share: float, seed: int) -> tuple[list[int], list[int]]:
    """(places of the rest, places of about `share` of the pairs), so that nobody is in both parts.

    Casts that share nobody with others are held out whole. Where casts share people, as photographs' do, some people
    are held out with the pairs that show them alone; pairs that show both those and others are in neither part.
    TrainingError where no part of the people can be held out.
    """
    alone: list[list[int]] = []
    shared: list[list[int]] = []
    for group in _connected(pairs):
        (alone if len({pairs[i].cluster for i in group}) == 1 else shared).append(group)
    draw = generator(seed, "dev casts")
    order = draw.permutation(len(alone))
    count = max(round(share * len(alone)), 1) if len(alone) > 1 else 0
    rest = [i for n in order[count:] for i in alone[n]]
    held_out = [i for n in order[:count] for i in alone[n]]
    for group in shared:
        outside, inside = _split_group([people_of(pairs[i]) for i in group], share, draw)
        rest += [group[n] for n in outside]
        held_out += [group[n] for n in inside]
    if not held_out or not rest:
        casts = sorted({pair.cluster for pair in pairs})
        raise TrainingError(
            f"no people can be held out of {len(pairs)} pairs of {len(casts)} casts ({', '.join(casts[:3])}...): all "
            "hang together; give a file for dev, or pairs of more people"
        )
    return sorted(rest), sorted(held_out)


def _connected(pairs: Sequence[PreferencePair]) -> list[list[int]]:
    """Places of pairs, together where a chain of shared people or casts joins them; in the order of the pairs."""
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
    for place, pair in enumerate(pairs):
        groups[find(("cast", pair.cluster))].append(place)
    return list(groups.values())


def _split_group(
    people: Sequence[frozenset[str]], share: float, draw: np.random.Generator
) -> tuple[list[int], list[int]]:
    """(without, with nobody but) some people: the fewest that give `share`, of several draws those that keep the most
    pairs; all of the pairs and none where no draw does."""
    names = sorted(frozenset().union(*people))
    pairs_of = {name: [n for n, shown in enumerate(people) if name in shown] for name in names}
    sizes = np.array([len(shown) for shown in people])
    best: tuple[list[int], list[int]] = list(range(len(people))), []
    most = 0
    for _ in range(_DRAWS):
        held_N = np.zeros(len(people), int)
        for place in draw.permutation(len(names)):
            held_N[pairs_of[names[place]]] += 1
            outside, inside = np.flatnonzero(held_N == 0), np.flatnonzero(held_N == sizes)
            kept = len(outside) + len(inside)
            if len(inside) >= share * kept:
                if len(outside) and kept > most:
                    best, most = (outside.tolist(), inside.tolist()), kept
                break
    return best


def folds_of(pairs: Sequence[PreferencePair], folds: int, seed: int) -> list[frozenset[str]]:
    """Groups of people, as equal in size as can be."""
    people = sorted({person for pair in pairs for person in people_of(pair)})
    if not 2 <= folds <= len(people):
        raise TrainingError(f"{folds} folds of {len(people)} people; give 2 to {len(people)}")
    order = generator(seed, "folds").permutation(len(people))
    return [frozenset(people[i] for i in order[start::folds]) for start in range(folds)]
