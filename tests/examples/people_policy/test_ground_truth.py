import numpy as np
import pytest

from examples.people_policy.ground_truth import (
    KINDS,
    POOL_SIZE,
    distance,
    judge,
    normalized,
    pool,
    sample_codes,
    true_code,
)
from reward_model.data.people.appearance.person_code import CODE_SIZE


@pytest.fixture(scope="module")
def cast():
    """[P, C] of two people."""
    return np.stack([true_code(5, name) for name in ("anna", "ben")])


def clip_of(cast):
    return np.repeat(cast[:, None], 4, 1)


def test_distances_are_zero_for_the_same_and_about_one_for_random_people():
    codes = sample_codes(3, 200)
    assert distance(codes, codes).max() == 0
    assert abs(distance(codes[::2], codes[1::2]).mean() - 1) < 0.05


def test_true_codes_stay_what_they_are_when_they_are_rendered():
    codes = sample_codes(3, 30)
    np.testing.assert_allclose(normalized(codes), codes, atol=1e-5)
    assert pool().shape == (POOL_SIZE, CODE_SIZE)


def test_the_right_people_are_right(cast):
    truth = judge(clip_of(cast)[None], cast[None])
    assert truth.kinds.tolist() == ["right"]
    assert (truth.states == "right").all()
    assert truth.distances.max() < 1e-3
    assert (truth.own_rank == 0).all()


@pytest.mark.parametrize("start", [0, 1, 3])
def test_an_exchange_is_detected_wherever_it_begins(cast, start):
    clip = clip_of(cast)
    clip[:, start:] = clip[::-1, start:].copy()
    truth = judge(clip[None], cast[None])
    assert truth.kinds.tolist() == ["exchanged"]
    assert (truth.states[0, :, start:] == "exchanged").all()
    assert (truth.states[0, :, :start] == "right").all()
    assert (truth.own_rank[0, :, start:] > 0).all()


def test_strangers_mixtures_and_drift_are_told_apart(cast):
    stranger = true_code(5, "carl")
    replaced, blended, drifting = clip_of(cast), clip_of(cast), clip_of(cast)
    replaced[0] = stranger
    blended[0] = (cast[0] + cast[1]) / 2
    drifting[1] += np.linspace(0, 1, 4)[:, None] * (stranger - cast[1])
    truth = judge(np.stack([replaced, blended, drifting]), np.repeat(cast[None], 3, 0))
    assert truth.kinds.tolist() == ["replaced", "blended", "drifting"]
    assert truth.states[0, 1].tolist() == ["right"] * 4


def test_kinds_of_a_summary_sum_to_one(cast):
    rng = np.random.default_rng(0)
    latents = clip_of(cast)[None] + rng.normal(size=(50, 2, 4, CODE_SIZE))
    summary = judge(latents, np.repeat(cast[None], 50, 0)).summary()
    shares = [summary["right_clips"], *(summary[f"share_{kind}"] for kind in KINDS[1:])]
    assert sum(shares) == pytest.approx(1)


def test_a_cast_of_one(cast):
    alone = cast[:1]
    stranger = np.repeat(true_code(5, "carl")[None], 4, 0)[None]
    truth = judge(np.stack([clip_of(alone), stranger]), np.repeat(alone[None], 2, 0))
    assert truth.kinds.tolist() == ["right", "replaced"]
