import pytest

from reward_model.data.records import read_pairs, write_pairs
from reward_model.training.data.casts import by_cast, good_videos
from tests.reward_model.training.helpers.pairs import make_data


@pytest.fixture(scope="module")
def casts(tmp_path_factory):
    """Two casts: three videos of the first are in two pairs, the second has one pair."""
    jsonl = make_data(tmp_path_factory.mktemp("casts"), ["A", "A", "A"])
    one, two, other = read_pairs(jsonl)
    again = one.model_copy(update={"pair_id": "again", "video_b": two.video_b})
    write_pairs(jsonl, [one, again, other])
    return jsonl


def test_pairs_of_two_rates_are_two_casts(casts):
    pairs = read_pairs(casts)[:2]
    assert [len(group) for group in by_cast([pairs[0], pairs[1].model_copy(update={"fps": 12.0})])] == [1, 1]


def test_good_videos_win_never_lose_and_have_no_corruption(tmp_path):
    won, tied, failing = read_pairs(make_data(tmp_path, ["A", "tie", "A"]))
    assert good_videos((tied,)) == []
    assert good_videos((won,)) == [0]
    loses = won.model_copy(update={"video_a": tied.video_a, "video_b": won.video_a})
    assert good_videos((won, loses)) == [2]
    sides = {"a": {"modes": {"blur": 0.3}}, "b": {"modes": {"blur": 0.9}}}
    worse_beaten = failing.model_copy(update={"meta": {**failing.meta, **sides}})
    assert good_videos((worse_beaten,)) == []
    fine = failing.model_copy(update={"meta": {**sides, "a": {"modes": {}}}})
    assert good_videos((fine,)) == [0]
