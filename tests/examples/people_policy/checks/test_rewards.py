import math

from examples.people_policy.checks.rewards import score_kinds, summarize
from examples.people_policy.world import SHARES


def test_the_right_clip_is_compared_with_each_kind():
    rows = summarize({"right": [2.0, 1.0, math.nan], "exchanged": [1.0, 1.0, 0.0]})
    assert rows["exchanged"] == {"mean": 1.0, "right_wins": 0.75, "count": 2}


def test_face_tracks_sees_an_exchange():
    rewards = score_kinds(["face-tracks"], 2, 1, 1)["face-tracks"]
    assert set(rewards) == set(SHARES)
    assert rewards["right"][0] > rewards["exchanged"][0]
