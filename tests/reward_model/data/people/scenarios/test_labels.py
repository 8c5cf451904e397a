import numpy as np
import pytest

from identity_reward_client.preference import Preference
from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.people.scenarios.labels import LOOKS, TIE_BAND, VISIBILITY, exact_label, sample_votes
from reward_model.data.people.scenes.nuisances import KINDS
from reward_model.data.seeding import generator

NUM_SAMPLES = 400


def agreement(kind, a, b, num=NUM_SAMPLES, key=0):
    """Share of votes whose majority is the exact label."""
    truth = exact_label(a, b)
    return np.mean([sample_votes(kind, a, b, generator("test", kind, key, n)).majority == truth for n in range(num)])


def test_every_corruption_has_a_visibility():
    assert set(VISIBILITY) == set(CORRUPTION_KINDS)


def test_every_nuisance_has_a_loss_of_looks():
    assert set(LOOKS) == set(KINDS)


def test_mildest_corruption_is_not_tied_with_an_original():
    assert all(kind.weight * kind.min_severity > TIE_BAND for kind in CORRUPTION_KINDS.values())


def test_exact_votes_follow_the_quality(sampled_pairs):
    assert {agreement("exact", a, b, 1) for a, b in sampled_pairs} == {1.0}
    votes = sample_votes("exact", {}, {"missing": 1.0}, generator(0))
    assert (votes.A, votes.B, votes.tie) == (3, 0, 0)
    assert exact_label({"missing": 1.0}, {}) == Preference.B
    assert exact_label({"drift": 0.5}, {"drift": 0.5}) == Preference.TIE


def test_human_votes_agree_with_most_exact_labels(sampled_pairs):
    share = np.mean([agreement("human", a, b, 3, n) for n, (a, b) in enumerate(sampled_pairs)])
    assert 0.95 < share < 1.0
    assert agreement("human", {}, {"missing": 1.0}) == 1.0


def test_automatic_labels_agree_with_about_two_thirds_of_exact_labels(sampled_pairs):
    assert 0.58 < np.mean([agreement("auto", a, b, 3, n) for n, (a, b) in enumerate(sampled_pairs)]) < 0.70


@pytest.mark.parametrize("name", ["missing", "wrong-person", "face-damage", "resolution", "look-changed"])
def test_automatic_labels_err_more_on_milder_corruptions(name):
    mild, severe = (
        agreement("auto", {}, {name: severity}) for severity in (max(CORRUPTION_KINDS[name].min_severity, 0.4), 1.0)
    )
    assert severe > mild + 0.1


def test_automatic_labels_miss_subtle_corruptions():
    subtle, obvious = (
        np.mean([agreement("auto", {}, {name: 0.7}) for name in names])
        for names in (("exchanged", "frozen", "drift"), ("missing", "duplicated", "resolution"))
    )
    assert subtle < 0.5
    assert obvious > 0.75


def votes_for_a(kind, nuisances, looks_bias=1.0):
    """Of two clips without corruptions, A is filmed well and B is not: share of votes for A."""
    return np.mean([
        sample_votes(kind, {}, {}, generator(n), ({}, nuisances), looks_bias).A / 3 for n in range(NUM_SAMPLES)
    ])  # fmt: skip


def test_automatic_labels_prefer_clips_that_are_sharp_and_well_lit():
    badly_filmed = {"focus": 0.6, "exposure": 0.6}
    assert votes_for_a("auto", badly_filmed) > 0.95
    assert votes_for_a("auto", badly_filmed, 0.0) < 0.35
    assert votes_for_a("auto", {"tint": 0.5}) < votes_for_a("auto", {"focus": 0.5})
    assert votes_for_a("exact", badly_filmed) == 0
    assert votes_for_a("human", badly_filmed) < 0.2


def test_nuisances_change_no_exact_or_human_vote():
    a, b, nuisances = {"drift": 0.5}, {"missing": 0.4}, ({"noise": 1.0}, {"grey": 1.0})
    for kind in ("exact", "human"):
        for n in range(20):
            assert sample_votes(kind, a, b, generator(n), nuisances) == sample_votes(kind, a, b, generator(n))


def test_votes_without_nuisances_stay_those_of_existing_data_sets():
    votes = [sample_votes("auto", {"drift": 0.7}, {"missing": 0.4}, generator("golden", n)) for n in range(4)]
    assert [(v.A, v.B, v.tie) for v in votes] == [(3, 0, 0), (0, 0, 3), (2, 0, 1), (0, 0, 3)]


def test_votes_are_symmetric():
    a, b = {"drift": 0.9}, {"missing": 0.5}
    for kind in ("exact", "human", "auto"):
        for_a = np.mean([sample_votes(kind, a, b, generator(n)).A for n in range(NUM_SAMPLES)])
        swapped = np.mean([sample_votes(kind, b, a, generator("other", n)).B for n in range(NUM_SAMPLES)])
        assert abs(for_a - swapped) < 0.25
