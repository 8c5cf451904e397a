"""From the qualities of two clips to votes: exact, as people vote, or as a vision-language model might.

Differences of quality d = q_A - q_B within TIE_BAND are a tie. Pairs are drawn with |d| <= EQUAL or |d| >= APART only
(`pairs.py`), so that the exact label is never a close call.

`exact`   three equal votes by d.
`human`   three annotators, each of whom sees d with normal noise of HUMAN_NOISE.
`auto`    three answers of one model, a stand-in for automatic annotation (Identity-GRPO, arXiv 2510.14256, section
          3.1.2): it sees each failure by the share in VISIBLE, and less of small severities; beside that it is drawn
          by a taste for one of the clips that has nothing to do with identity (SHARED_NOISE, the same in all three
          answers), and by noise (ANSWER_NOISE). Subtle failures are mostly confused; about two thirds of its labels
          are right, where the paper's raw automatic labels train a model to 0.66.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.records import Source, Votes

from ..corruptions.identity import MODES, quality

LabelKind = Literal["exact", "human", "auto"]
SOURCES: dict[LabelKind, Source] = {"exact": "construction", "human": "human", "auto": "vlm"}
TIE_BAND = 0.12
EQUAL = 0.04
APART = 0.24
HUMAN_NOISE = 0.09
SHARED_NOISE = 0.16
ANSWER_NOISE = 0.08
VISIBLE = {
    "wrong-person": 0.7, "one-replaced": 0.55, "exchanged": 0.15, "missing": 1.0, "duplicated": 0.8, "drift": 0.25,
    "switch": 0.45, "face-damage": 0.9, "look-changed": 0.7, "frozen": 0.1, "resolution": 1.0,
}  # fmt: skip

Modes = dict[str, float]


def exact_label(a: Modes, b: Modes) -> Preference:
    return _answer(quality(a) - quality(b))


def votes(kind: LabelKind, a: Modes, b: Modes, rng: np.random.Generator) -> Votes:
    """Three votes on a pair of clips with these failures, {mode: severity}."""
    if kind == "auto":
        seen = visible_quality(a) - visible_quality(b) + rng.normal() * SHARED_NOISE
        noise = rng.normal(size=3) * ANSWER_NOISE
    else:
        seen = quality(a) - quality(b)
        noise = rng.normal(size=3) * (HUMAN_NOISE if kind == "human" else 0.0)
    answers = [_answer(seen + float(off)) for off in noise]
    return Votes(**{answer.value: answers.count(answer) for answer in Preference})


def visible_quality(modes: Modes) -> float:
    """What `auto` makes of a clip: a failure of severity s counts s squared, by its share in VISIBLE."""
    return -sum(MODES[name].weight * VISIBLE[name] * severity**2 for name, severity in modes.items())


def _answer(difference: float) -> Preference:
    if abs(difference) <= TIE_BAND:
        return Preference.TIE
    return Preference.A if difference > 0 else Preference.B
