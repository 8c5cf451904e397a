"""Casts: preference pairs that share their references, and the comparisons of their videos."""

from __future__ import annotations

from collections.abc import Iterable

from reward_model.data.records import PreferencePair

from .pairs import sign

# the pairs of one cast, or a single pair
Pairs = tuple[PreferencePair, ...]


def by_cast(pairs: Iterable[PreferencePair]) -> list[Pairs]:
    """Pairs of the same cluster, references, prompt and frame rate together, in the order of their first pair."""
    casts: dict[tuple[object, ...], list[PreferencePair]] = {}
    for pair in pairs:
        key = (pair.cluster, pair.prompt, pair.fps, tuple(reference.path for reference in pair.references))
        casts.setdefault(key, []).append(pair)
    return [tuple(cast) for cast in casts.values()]


def comparisons_of(pairs: Pairs) -> tuple[list[str], list[tuple[int, int, int]]]:
    """(distinct videos of the pairs, (a, b, label) of each pair): indices of videos, and the label as in `sign`."""
    videos = list(dict.fromkeys(path for pair in pairs for path in (pair.video_a, pair.video_b)))
    return videos, [(videos.index(pair.video_a), videos.index(pair.video_b), sign(pair)) for pair in pairs]


def good_videos(pairs: Pairs) -> list[int]:
    """Indices of the videos that win some comparison and lose none.

    Where records list the corruptions of a video (`meta`), a good video has none: the better of two corrupted videos is
    not good.
    """
    videos, comparisons = comparisons_of(pairs)
    decided = [(a, b) if label > 0 else (b, a) for a, b, label in comparisons if label]
    winners, losers = {winner for winner, _ in decided}, {loser for _, loser in decided}
    corrupted = {videos.index(path) for path, corruptions in corruptions_of(pairs).items() if corruptions}
    return sorted(winners - losers - corrupted)


def corruptions_of(pairs: Pairs) -> dict[str, dict[str, float]]:
    """Video -> its corruptions, name -> severity; empty where the record (`meta`) lists none."""
    sides = ((pair, side) for pair in pairs for side in "ab")
    return {getattr(pair, f"video_{side}"): (pair.meta.get(side) or {}).get("modes") or {} for pair, side in sides}


def persons_of(pairs: Pairs) -> frozenset[str]:
    """Persons that the references of the pairs show."""
    return frozenset(person for pair in pairs for person in pair.persons)
