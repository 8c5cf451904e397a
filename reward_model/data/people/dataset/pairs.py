"""Which clips of a scenario are compared: an original with a failure, two failures, or two that are equally good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.records import PreferencePair, Reference
from reward_model.data.seeding import generator

from ..corruptions.identity import MODES, NUISANCE, quality
from ..scenarios.labels import APART, EQUAL, SOURCES, LabelKind, Modes, exact_label, votes

TIES = 0.25


def choose_pairs(rng: np.random.Generator, clips: Sequence[Modes], wanted: int) -> list[tuple[int, int]]:
    """At most `wanted` pairs (A, B) of different clips, in random order; about TIES of them tied.

    Pairs whose qualities are neither equal nor well apart are left out.
    """
    qualities = [quality(modes) for modes in clips]
    pairs = [(i, j) for i, j in combinations(range(len(clips)), 2)]
    apart = [pair for pair in pairs if abs(qualities[pair[0]] - qualities[pair[1]]) >= APART]
    equal = [pair for pair in pairs if abs(qualities[pair[0]] - qualities[pair[1]]) <= EQUAL]
    with_original = [pair for pair in apart if not all(clips[n] for n in pair)]
    generated = [pair for pair in apart if all(clips[n] for n in pair)]
    ties = min(int(wanted * TIES + rng.uniform()), len(equal))
    chosen = [equal[n] for n in rng.permutation(len(equal))[:ties]]
    half = min((wanted - ties + int(rng.integers(2))) // 2, len(generated))
    chosen += [generated[n] for n in rng.permutation(len(generated))[:half]]
    rest = wanted - len(chosen)
    chosen += [with_original[n] for n in rng.permutation(len(with_original))[:rest]]
    order = rng.permutation(len(chosen))
    return [chosen[n] if rng.uniform() < 0.5 else chosen[n][::-1] for n in order]


def deciding_mode(a: Modes, b: Modes) -> str:
    """The failure by which one clip is worse; of equal clips the one that both have, or "nuisance"."""
    label = exact_label(a, b)
    if label == Preference.TIE:
        return max({**a, **b}, key=lambda name: (a | b)[name] * MODES[name].weight, default=NUISANCE)
    worse, better = (b, a) if label == Preference.A else (a, b)
    return max(worse, key=lambda name: MODES[name].weight * (worse[name] - better.get(name, 0.0)))


def make_pair(
    seed: int,
    pair_id: str,
    kind: LabelKind,
    *,
    prompt: str,
    references: Sequence[Reference],
    clips: tuple[Modes, Modes],
    people: Iterable[str],
    paths: tuple[str, str],
    cluster: str,
    split: str,
    fps: float,
    licence: str,
) -> PreferencePair:
    """A record whose votes are a function of seed, kind and id. `people`: everybody whom the clips show."""
    a, b = clips
    given = votes(kind, a, b, generator("votes", kind, seed, pair_id))
    return PreferencePair(
        pair_id=pair_id,
        prompt=prompt,
        references=tuple(references),
        video_a=paths[0],
        video_b=paths[1],
        label=given.majority,
        votes=given,
        source=SOURCES[kind],
        split=split,
        fps=fps,
        licence=licence,
        meta={
            "mode": deciding_mode(a, b),
            "cluster": cluster,
            "people": sorted({*people, *(reference.person for reference in references)}),
            "compared": " and ".join("generated" if modes else "original" for modes in clips),
            "truth": exact_label(a, b).value,
            "a": {"modes": a, "quality": round(quality(a), 6)},
            "b": {"modes": b, "quality": round(quality(b), 6)},
        },
    )
