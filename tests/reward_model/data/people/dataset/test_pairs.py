import numpy as np

from identity_reward_client.preference import Preference
from reward_model.data.corruption_kinds import CORRUPTION_KINDS, quality
from reward_model.data.people.dataset.pairs import deciding_corruption
from reward_model.data.people.scenarios.labels import APART, TIE_BAND, exact_label


def test_pairs_differ_clearly_and_a_quarter_is_tied(sampled_pairs):
    differences = np.array([abs(quality(a) - quality(b)) for a, b in sampled_pairs])
    assert not ((differences > 0.04) & (differences < APART)).any()
    assert 0.2 < (differences <= TIE_BAND).mean() < 0.3
    labels = [exact_label(a, b) for a, b in sampled_pairs]
    assert abs(labels.count(Preference.A) - labels.count(Preference.B)) < 0.15 * len(labels)
    kinds = [(bool(a), bool(b)) for a, b in sampled_pairs]
    assert kinds.count((True, True)) > 0.2 * len(kinds)
    assert kinds.count((True, False)) + kinds.count((False, True)) > 0.3 * len(kinds)


def test_every_corruption_is_the_deciding_one_of_some_pair(sampled_pairs):
    decided = [deciding_corruption(a, b) for a, b in sampled_pairs]
    assert {*CORRUPTION_KINDS, "nuisance"} == set(decided)
    assert deciding_corruption({}, {}) == "nuisance"
    assert deciding_corruption({"drift": 0.9, "resolution": 0.5}, {"resolution": 0.5}) == "drift"
    assert deciding_corruption({"frozen": 0.5}, {"missing": 0.9}) == "missing"
    assert deciding_corruption({"drift": 0.5}, {"drift": 0.5}) == "drift"
