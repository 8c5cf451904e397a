from identity_reward_client.preference import Preference
from reward_model.training.evaluation.pair_groups import (
    BADLY_FILMED,
    BOTH_CORRUPTED,
    ONE_RIGHT,
    TIES_OF_FILMING,
    pair_groups,
)
from tests.reward_model.training.helpers.face_tracks import record

RIGHT, SWITCHED = {"modes": {}}, {"modes": {"switch": 0.7}}
DARK = {"modes": {}, "nuisances": {"exposure": 0.9}}


def test_groups_follow_the_corruptions_and_the_filming_of_both_clips():
    pairs = [
        record("0", Preference.A, mode="switch", a=DARK, b=SWITCHED),
        record("1", Preference.B, mode="switch", a=SWITCHED, b=RIGHT),
        record("2", Preference.TIE, mode="nuisance", a=DARK, b=RIGHT),
        record("3", Preference.B, mode="missing", a={"modes": {"missing": 1.0}}, b=SWITCHED),
        record("4", Preference.A),
    ]
    groups = {name: mask_N.nonzero()[0].tolist() for name, mask_N in pair_groups(pairs).items()}
    assert groups == {
        "all": [4], "missing": [3], "nuisance": [2], "switch": [0, 1],
        ONE_RIGHT: [0, 1], BOTH_CORRUPTED: [3], BADLY_FILMED: [0], TIES_OF_FILMING: [2],
    }  # fmt: skip


def test_pairs_without_descriptions_have_the_groups_of_their_corruptions_alone():
    assert list(pair_groups([record("0", Preference.A, mode="switch"), record("1", Preference.A)])) == ["all", "switch"]
