"""Pairs of a scenario's clips: an original with a corrupted one, two corrupted ones, or two of equal quality."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.corruption_kinds import CORRUPTION_KINDS, NUISANCE, Severities, quality
from reward_model.data.records import PreferencePair, Reference
from reward_model.data.seeding import generator

from ..scenarios.labels import APART, EQUAL, SOURCES, LabelKind, exact_label, sample_votes
from ..scenarios.sources import RenderableClip

TIE_SHARE = 0.25


def sample_pairs(rng: np.random.Generator, clips: Sequence[Severities], max_pairs: int) -> list[tuple[int, int]]:
    """At most `max_pairs` pairs (A, B) of indices of different clips, in random order; about TIE_SHARE of them tied.

    Pairs whose qualities are neither equal nor well apart are left out.
    """
    qualities = [quality(severities) for severities in clips]
    pairs = [(i, j) for i, j in combinations(range(len(clips)), 2)]
    apart = [pair for pair in pairs if abs(qualities[pair[0]] - qualities[pair[1]]) >= APART]
    equal = [pair for pair in pairs if abs(qualities[pair[0]] - qualities[pair[1]]) <= EQUAL]
    with_original = [pair for pair in apart if not all(clips[n] for n in pair)]
    both_corrupted = [pair for pair in apart if all(clips[n] for n in pair)]
    num_ties = min(int(max_pairs * TIE_SHARE + rng.uniform()), len(equal))
    selected = [equal[n] for n in rng.permutation(len(equal))[:num_ties]]
    half = min((max_pairs - num_ties + int(rng.integers(2))) // 2, len(both_corrupted))
    selected += [both_corrupted[n] for n in rng.permutation(len(both_corrupted))[:half]]
    rest = max_pairs - len(selected)
    selected += [with_original[n] for n in rng.permutation(len(with_original))[:rest]]
    order = rng.permutation(len(selected))
    return [selected[n] if rng.uniform() < 0.5 else selected[n][::-1] for n in order]


def deciding_corruption(a: Severities, b: Severities) -> str:
    """The corruption by which one clip is worse; of tied clips the one that weighs most in either, or NUISANCE."""

    def weight(name: str) -> float:
        return CORRUPTION_KINDS[name].weight

    label = exact_label(a, b)
    if label == Preference.TIE:
        return max({**a, **b}, key=lambda name: (a | b)[name] * weight(name), default=NUISANCE)
    worse, better = (b, a) if label == Preference.A else (a, b)
    return max(worse, key=lambda name: weight(name) * (worse[name] - better.get(name, 0.0)))


def make_pair(
    seed: int,
    pair_id: str,
    kind: LabelKind,
    *,
    prompt: str,
    references: Sequence[Reference],
    clips: tuple[RenderableClip, RenderableClip],
    paths: tuple[str, str],
    cluster: str,
    split: str,
    fps: float,
    licence: str,
) -> PreferencePair:
    """The record of a pair; its votes are a function of seed, kind and id.

    clips: A and B. paths: of their files.
    """
    a, b = clips[0].severities, clips[1].severities
    people = clips[0].people | clips[1].people
    rng = generator("votes", kind, seed, pair_id)
    votes = sample_votes(kind, a, b, rng, (clips[0].nuisances, clips[1].nuisances))
    return PreferencePair(
        pair_id=pair_id,
        prompt=prompt,
        references=tuple(references),
        video_a=paths[0],
        video_b=paths[1],
        label=votes.majority,
        votes=votes,
        source=SOURCES[kind],
        split=split,
        fps=fps,
        licence=licence,
        meta={
            "mode": deciding_corruption(a, b),
            "cluster": cluster,
            "people": sorted({*people, *(reference.person for reference in references)}),
            "compared": " and ".join("generated" if clip.severities else "original" for clip in clips),
            "truth": exact_label(a, b).value,
            "a": _described(a, clips[0].nuisances),
            "b": _described(b, clips[1].nuisances),
        },
    )


def _described(severities: Severities, nuisances: dict[str, float]) -> dict[str, Any]:
    described: dict[str, Any] = {"modes": severities, "quality": round(quality(severities), 6)}
    if nuisances:
        described["nuisances"] = nuisances
    return described
