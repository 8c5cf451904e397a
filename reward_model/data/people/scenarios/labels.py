"""Votes on pairs of clips, computed from their qualities: exact, human-like, or like a vision-language model's.

Differences of quality d = q_A - q_B within TIE_BAND are a tie. Pairs are sampled with |d| <= EQUAL or |d| >= APART only
(`dataset.pairs`), so that the exact label is never a close call.

`exact`   three equal votes by d.
`human`   three annotators, each of whom sees d with normal noise of HUMAN_NOISE.
`auto`    three answers of one model, a stand-in for automatic annotation (Identity-GRPO, arXiv 2510.14256, section
          3.1.2). It sees each corruption by its share in VISIBILITY, exchanged people hardly, and small severities
          less. It also prefers clips that are sharp and well lit: each nuisance of filming takes off its share in
          LOOKS. SHARED_NOISE is a preference for other reasons, the same in all three answers, ANSWER_NOISE that of
          one answer. Of clips without nuisances about two thirds of the labels are right.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.corruption_kinds import CORRUPTION_KINDS, Severities, quality
from reward_model.data.records import Source, Votes

LabelKind = Literal["exact", "human", "auto"]
SOURCES: dict[LabelKind, Source] = {"exact": "construction", "human": "human", "auto": "vlm"}
# differences of quality
TIE_BAND = 0.12
EQUAL = 0.04
APART = 0.24
HUMAN_NOISE = 0.09
SHARED_NOISE = 0.16
ANSWER_NOISE = 0.08
# share of a corruption's weight that `auto` sees
VISIBILITY = {
    "wrong-person": 0.7, "one-replaced": 0.55, "exchanged": 0.15, "missing": 1.0, "duplicated": 0.8, "drift": 0.25,
    "switch": 0.45, "face-damage": 0.9, "look-changed": 0.7, "frozen": 0.1, "resolution": 1.0,
}  # fmt: skip
# quality that `auto` takes off for a nuisance of strength 1 (`scenes.nuisances`)
LOOKS = {
    "exposure": 0.6, "tint": 0.2, "focus": 0.8, "noise": 0.5, "resolution": 0.8, "compression": 0.4, "grey": 0.3,
    "motion": 0.7,
}  # fmt: skip
# {kind of `scenes.nuisances`: strength} of clip A and of clip B
NuisancesOfPair = tuple[dict[str, float], dict[str, float]]


def exact_label(a: Severities, b: Severities) -> Preference:
    return _answer(quality(a) - quality(b))


def sample_votes(
    kind: LabelKind,
    a: Severities,
    b: Severities,
    rng: np.random.Generator,
    nuisances: NuisancesOfPair = ({}, {}),
    looks_bias: float = 1.0,
) -> Votes:
    """Three votes on a pair of clips with these corruptions and nuisances. looks_bias: factor of LOOKS."""
    if kind == "auto":
        seen_a, seen_b = (
            visible_quality(severities) - looks_bias * _loss_of_looks(strengths)
            for severities, strengths in zip((a, b), nuisances, strict=True)
        )
        difference = seen_a - seen_b + rng.normal() * SHARED_NOISE
        noise = rng.normal(size=3) * ANSWER_NOISE
    else:
        difference = quality(a) - quality(b)
        noise = rng.normal(size=3) * (HUMAN_NOISE if kind == "human" else 0.0)
    answers = [_answer(difference + float(offset)) for offset in noise]
    return Votes(**{answer.value: answers.count(answer) for answer in Preference})


def visible_quality(severities: Severities) -> float:
    """The quality that `auto` sees: severity s counts s squared, times the share in VISIBILITY."""
    return -sum(CORRUPTION_KINDS[name].weight * VISIBILITY[name] * severity**2 for name, severity in severities.items())


def _loss_of_looks(strengths: dict[str, float]) -> float:
    return sum(LOOKS[kind] * strength for kind, strength in strengths.items())


def _answer(difference: float) -> Preference:
    if abs(difference) <= TIE_BAND:
        return Preference.TIE
    return Preference.A if difference > 0 else Preference.B
