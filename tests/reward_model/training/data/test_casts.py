from reward_model.data.records import read_pairs
from reward_model.training.data.casts import by_cast, good_videos
from tests.reward_model.training.helpers.pairs import make_data


def test_pairs_with_different_frame_rates_are_different_casts(casts):
    pairs = read_pairs(casts)[:2]
    assert [len(group) for group in by_cast([pairs[0], pairs[1].model_copy(update={"fps": 12.0})])] == [1, 1]


def test_good_videos_have_a_win_no_loss_and_no_corruption(tmp_path):
    won, tied, other = read_pairs(make_data(tmp_path, ["A", "tie", "A"]))
    assert good_videos((tied,)) == []
    assert good_videos((won,)) == [0]
    also_lost = won.model_copy(update={"video_a": tied.video_a, "video_b": won.video_a})
    assert good_videos((won, also_lost)) == [2]
    sides = {"a": {"modes": {"blur": 0.3}}, "b": {"modes": {"blur": 0.9}}}
    both_corrupted = other.model_copy(update={"meta": {**other.meta, **sides}})
    assert good_videos((both_corrupted,)) == []
    corrupted_loser = other.model_copy(update={"meta": {**sides, "a": {"modes": {}}}})
    assert good_videos((corrupted_loser,)) == [0]
