import numpy as np
import pytest

from reward_model.data.records import read_pairs, write_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.configs.files import read_config
from reward_model.training.data.media import FileMedia
from reward_model.training.models.packed import PackedRewards
from reward_model.training.preferences.groups import (
    Augmentation,
    by_cast,
    comparisons,
    good_videos,
    load_group,
    persons_of,
)
from reward_model.training.preferences.run_data import RunData
from tests.reward_model.training.pairs import make_data


@pytest.fixture(scope="module")
def media():
    tokenizer = tiny_tokenizer()
    return FileMedia(Preprocessor(tiny_config(tokenizer), tokenizer))


@pytest.fixture(scope="module")
def casts(tmp_path_factory):
    """Two casts: three videos of the first are in two pairs, the second has one pair."""
    jsonl = make_data(tmp_path_factory.mktemp("casts"), ["A", "A", "A"])
    one, two, other = read_pairs(jsonl)
    again = one.model_copy(update={"pair_id": "again", "video_b": two.video_b})
    write_pairs(jsonl, [one, again, other])
    return jsonl


def test_a_video_of_several_pairs_is_there_once(media, casts):
    groups = by_cast(read_pairs(casts))
    assert [len(group) for group in groups] == [2, 1]
    assert good_videos(groups[0]) == [0]
    group = load_group(media, casts, groups[0])
    assert (len(group.sequences), group.comparisons) == (3, ((0, 1, 1), (0, 2, 1)))
    assert len({sequence.prefix_key for sequence in group.sequences}) == 1
    second = load_group(media, casts, groups[1])
    a, b, label = comparisons([group, second]).tolist()
    assert (a, b, label) == ([0, 0, 3], [1, 2, 4], [1, 1, 1])


def test_videos_of_two_rates_are_two_groups(casts):
    pairs = read_pairs(casts)[:2]
    assert [len(group) for group in by_cast([pairs[0], pairs[1].model_copy(update={"fps": 12.0})])] == [1, 1]


def test_good_videos_win_never_lose_and_do_not_fail(tmp_path):
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


def test_strangers_share_nobody_with_the_cast(media, tmp_path):
    jsonl = make_data(tmp_path, ["A", "A", "A"])
    one, two, three = read_pairs(jsonl)
    shared = two.model_copy(update={"references": (*one.references, *two.references), "meta": {"cluster": "another"}})
    settings = ["data.groups=true", "batch=3", "micro_batch=3", "steps=4", f"data.clean={jsonl}"]
    write_pairs(jsonl, [one, shared])
    data = RunData(read_config("smoke", [*settings, "data.foreign_references=1"]), True)
    assert all(len(group.sequences) == 2 for groups in data.steps(media, 0, 0, 1) for group in groups)
    write_pairs(jsonl, [one, shared, three])
    data = RunData(read_config("smoke", [*settings, "data.foreign_references=1"]), True)
    draws = [draw for step in range(4) for draw in data.sampler.draws(step)]
    others = [(data.units[draw.pool][draw.index], data._other(draw)) for draw in draws]
    assert all(persons_of(own).isdisjoint(persons_of(other)) for own, other in others)
    assert len({other[0].pair_id for _, other in others}) == 3


def test_a_stranger_beside_a_good_video_is_the_worse_one(media, casts):
    first, second = by_cast(read_pairs(casts))
    group = load_group(media, casts, first, Augmentation(5, foreign=1, others=(casts, second[0])))
    assert len(group.sequences) == 4
    assert group.comparisons[-1] == (0, 3, 1)
    own, foreign = group.sequences[0], group.sequences[3]
    assert foreign.clips[0].key != own.clips[0].key
    assert foreign.clips[-1].patches is own.clips[-1].patches
    strangers = load_group(media, casts, second)
    assert foreign.clips[0].key == strangers.sequences[0].clips[0].key


def test_the_tower_sees_a_shared_video_once(media, casts):
    first, second = by_cast(read_pairs(casts))
    group = load_group(media, casts, first, Augmentation(5, foreign=2, others=(casts, second[0])))
    packed = PackedRewards(tiny_model(tiny_config(tiny_tokenizer())))
    seen = []
    packed.model.body.visual.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    rewards = packed(group.sequences)[:, 0]
    own, foreign = group.sequences[0], group.sequences[3]
    distinct = [*(s.clips[-1] for s in group.sequences[:3]), own.clips[0], foreign.clips[0]]
    assert seen == [sum(len(clip.patches) for clip in distinct)]
    alone = packed([foreign])[0, 0]
    assert rewards[3].item() == pytest.approx(alone.item(), abs=2e-6)
    assert rewards[3].item() != pytest.approx(rewards[0].item(), abs=1e-4)


def test_mirrored_pictures(media, casts):
    pair = by_cast(read_pairs(casts))[1]
    plain = load_group(media, casts, pair)
    made = [load_group(media, casts, pair, Augmentation(seed, mirror=True)) for seed in range(8)]
    keys = {group.sequences[0].clips[0].key for group in made}
    assert len(keys) == 2
    assert plain.sequences[0].clips[0].key in keys
    videos = [
        np.array_equal(group.sequences[0].clips[1].patches, plain.sequences[0].clips[1].patches) for group in made
    ]
    assert set(videos) == {True, False}
    again = load_group(media, casts, pair, Augmentation(3, mirror=True))
    assert np.array_equal(again.sequences[0].clips[1].patches, made[3].sequences[0].clips[1].patches)


def test_a_step_counts_every_comparison(media, casts):
    """The sum of losses is divided by what `weight` says: it has to be the number of comparisons that are loaded."""
    settings = ["data.groups=true", "batch=2", "micro_batch=2", "steps=6", f"data.clean={casts}"]
    for foreign in (0, 2):
        data = RunData(read_config("smoke", [*settings, f"data.foreign_references={foreign}"]), True)
        for step, groups in enumerate(data.steps(media, 0, 0, 1)):
            assert data.weight(step) == sum(len(group.comparisons) for group in groups) == 3 + 2 * foreign


def test_without_another_cast_there_are_no_strangers(media, tmp_path):
    jsonl = make_data(tmp_path, ["A"])
    settings = ["data.groups=true", "batch=1", "micro_batch=1", "steps=2", f"data.clean={jsonl}"]
    data = RunData(read_config("smoke", [*settings, "data.foreign_references=2"]), True)
    assert [len(groups[0].sequences) for groups in data.steps(media, 0, 0, 1)] == [2, 2]
