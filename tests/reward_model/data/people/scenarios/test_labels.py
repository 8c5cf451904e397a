import numpy as np
import pytest

from identity_reward_client.preference import Preference
from reward_model.data.people.corruptions.identity import MODES, quality
from reward_model.data.people.dataset.pairs import choose_pairs, deciding_mode
from reward_model.data.people.scenarios.labels import APART, TIE_BAND, VISIBLE, exact_label, votes
from reward_model.data.people.scenarios.scenario import ClipSize, draw_scenario
from reward_model.data.seeding import generator

NUM = 400


def right(kind, a, b, num=NUM, key=0):
    """How often the majority is the exact label."""
    truth = exact_label(a, b)
    return np.mean([votes(kind, a, b, generator("test", kind, key, n)).majority == truth for n in range(num)])


@pytest.fixture(scope="module")
def drawn():
    """(modes of A, modes of B) of the pairs of some scenarios."""
    pairs = []
    for index in range(150):
        clips = [clip.modes for clip in draw_scenario(1, index, ClipSize()).clips]
        pairs += [(clips[a], clips[b]) for a, b in choose_pairs(generator("t", index), clips, 6)]
    return pairs


def test_quality_is_the_weighted_sum_of_severities():
    assert quality({}) == 0.0
    assert quality({"drift": 0.5, "resolution": 1.0}) == pytest.approx(-(0.8 * 0.5 + 0.5))
    assert set(VISIBLE) == set(MODES)
    # the mildest failure is told from an original
    assert all(mode.weight * mode.least > TIE_BAND for mode in MODES.values())


def test_exact_votes_are_the_construction(drawn):
    assert {right("exact", a, b, 1) for a, b in drawn} == {1.0}
    given = votes("exact", {}, {"missing": 1.0}, generator(0))
    assert (given.A, given.B, given.tie) == (3, 0, 0)
    assert exact_label({"missing": 1.0}, {}) == Preference.B
    assert exact_label({"drift": 0.5}, {"drift": 0.5}) == Preference.TIE


def test_people_err_a_little(drawn):
    agreed = np.mean([right("human", a, b, 3, n) for n, (a, b) in enumerate(drawn)])
    assert 0.95 < agreed < 1.0
    assert right("human", {}, {"missing": 1.0}) == 1.0


def test_automatic_labels_are_right_in_about_two_thirds(drawn):
    assert 0.58 < np.mean([right("auto", a, b, 3, n) for n, (a, b) in enumerate(drawn)]) < 0.70


@pytest.mark.parametrize("mode", ["missing", "wrong-person", "face-damage", "resolution", "look-changed"])
def test_automatic_labels_err_more_on_milder_failures(mode):
    mild, severe = (right("auto", {}, {mode: severity}) for severity in (max(MODES[mode].least, 0.4), 1.0))
    assert severe > mild + 0.1


def test_automatic_labels_miss_subtle_failures():
    subtle, plain = (
        np.mean([right("auto", {}, {mode: 0.7}) for mode in modes])
        for modes in (("exchanged", "frozen", "drift"), ("missing", "duplicated", "resolution"))
    )
    assert subtle < 0.5 < 0.75 < plain


def test_votes_are_symmetric():
    a, b = {"drift": 0.9}, {"missing": 0.5}
    for kind in ("exact", "human", "auto"):
        for_a = np.mean([votes(kind, a, b, generator(n)).A for n in range(NUM)])
        swapped = np.mean([votes(kind, b, a, generator("other", n)).B for n in range(NUM)])
        assert abs(for_a - swapped) < 0.25


def test_pairs_are_clear_and_a_quarter_tied(drawn):
    differences = np.array([abs(quality(a) - quality(b)) for a, b in drawn])
    assert not ((differences > 0.04) & (differences < APART)).any()
    assert 0.2 < (differences <= TIE_BAND).mean() < 0.3
    labels = [exact_label(a, b) for a, b in drawn]
    assert abs(labels.count(Preference.A) - labels.count(Preference.B)) < 0.15 * len(labels)
    kinds = [(bool(a), bool(b)) for a, b in drawn]
    assert kinds.count((True, True)) > 0.2 * len(kinds)
    assert kinds.count((True, False)) + kinds.count((False, True)) > 0.3 * len(kinds)


def test_every_mode_decides_pairs(drawn):
    decided = [deciding_mode(a, b) for a, b in drawn]
    assert {*MODES, "nuisance"} == set(decided)
    assert deciding_mode({}, {}) == "nuisance"
    assert deciding_mode({"drift": 0.9, "resolution": 0.5}, {"resolution": 0.5}) == "drift"
    assert deciding_mode({"frozen": 0.5}, {"missing": 0.9}) == "missing"
    assert deciding_mode({"drift": 0.5}, {"drift": 0.5}) == "drift"
