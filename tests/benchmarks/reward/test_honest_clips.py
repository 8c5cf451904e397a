"""Bad filming is no wrong person: nuisances of three strengths move the reward of a right clip by less than a tie."""

from functools import cache

import pytest

from benchmarks.reward.honest_clips import CRF, INDICES, Cast, photographed_cast
from identity_reward_client.preference import tie_band
from reward_model.data.people.scenes.nuisances import KINDS, Nuisances
from reward_model.registry import load_scorer

# of two people and of one
CASTS = (0, 2)
# x264's constant rate factor 31 of a clip of 416x240; beyond it faces lose their detail
STRONGEST = {"compression": 0.5}


@cache
def cast(index: int) -> Cast:
    return photographed_cast(17, index)


@cache
def reward(index: int, kind: str, strength: float) -> float:
    scorer, nuisances = load_scorer("face-tracks"), Nuisances("ladder", {kind: strength} if strength else {})
    sample = cast(index).sample(nuisances.apply(cast(index).clips[0].frames_THWC, INDICES), nuisances.crf(CRF))
    return scorer.postprocess(scorer.forward([scorer.preprocess(sample)])[0]).reward


@pytest.mark.parametrize("index", CASTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_nuisance_moves_the_reward_by_less_than_a_tie(kind, index):
    for share in (1 / 3, 2 / 3, 1.0):
        strength = share * STRONGEST.get(kind, 1.0)
        moved = reward(index, kind, strength) - reward(index, "none", 0.0)
        assert abs(moved) < tie_band(5), (kind, strength, moved)
