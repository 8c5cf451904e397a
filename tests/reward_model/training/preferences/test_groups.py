import numpy as np
import pytest

from reward_model.data.records import read_pairs, resolve
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.data.casts import by_cast, good_videos
from reward_model.training.errors import TrainingError
from reward_model.training.models.packed import PackedRewards
from reward_model.training.preferences.groups import Augmentation, comparisons, load_group
from tests.reward_model.training.helpers.pairs import make_data


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    """The file of a pair with two references."""
    jsonl = make_data(tmp_path_factory.mktemp("two"), ["A", "tie"])
    first, second = read_pairs(jsonl)
    return jsonl, first.model_copy(update={"references": (*first.references, *second.references)})


def test_sequences_of_a_pair_share_only_their_references(media, two_people):
    jsonl, pair = two_people
    group = load_group(media, jsonl, (pair,))
    assert group.comparisons == ((0, 1, 1),)
    a, b = group.sequences
    assert a.prefix_key == b.prefix_key
    for sequence in (a, b):
        keys = [clip.key for clip in sequence.clips]
        assert None not in keys[:2]
        assert keys[2] is None
    assert not np.array_equal(a.clips[2].patches, b.clips[2].patches)


def test_order_of_references_is_a_function_of_the_seed(media, two_people):
    jsonl, pair = two_people

    def keys(seed, permute=True):
        group = load_group(media, jsonl, (pair,), Augmentation(seed, permute_references=permute))
        assert group.sequences[0].prefix_key == group.sequences[1].prefix_key
        return tuple(clip.key for clip in group.sequences[0].clips[:2])

    plain = keys(0, permute=False)
    orders = [keys(seed) for seed in range(8)]
    assert set(orders) == {plain, plain[::-1]}
    assert keys(3) == orders[3]


def test_error_of_an_unreadable_file_names_pair_and_file(media, two_people, tmp_path):
    jsonl, pair = two_people
    broken = resolve(jsonl, "references/broken.png")
    broken.write_bytes(b"no picture")
    reference = pair.references[0].model_copy(update={"path": "references/broken.png"})
    with pytest.raises(TrainingError, match=r"pair train-0-0 of .*references/broken.png.*no image that can be read"):
        load_group(media, jsonl, (pair.model_copy(update={"references": (reference,)}),))
    with pytest.raises(TrainingError, match=r"clips/gone.mp4"):
        load_group(media, jsonl, (pair.model_copy(update={"video_a": "clips/gone.mp4"}),))


def test_a_video_of_several_pairs_is_loaded_once(media, casts):
    groups = by_cast(read_pairs(casts))
    assert [len(group) for group in groups] == [2, 1]
    assert good_videos(groups[0]) == [0]
    group = load_group(media, casts, groups[0])
    assert (len(group.sequences), group.comparisons) == (3, ((0, 1, 1), (0, 2, 1)))
    assert len({sequence.prefix_key for sequence in group.sequences}) == 1
    second = load_group(media, casts, groups[1])
    a, b, label = comparisons([group, second]).tolist()
    assert (a, b, label) == ([0, 0, 3], [1, 2, 4], [1, 1, 1])


def test_good_video_with_foreign_references_loses_against_its_own(media, casts):
    first, second = by_cast(read_pairs(casts))
    group = load_group(media, casts, first, Augmentation(5, num_foreign=1, others=(casts, second[0])))
    assert len(group.sequences) == 4
    assert group.comparisons[-1] == (0, 3, 1)
    matching, foreign = group.sequences[0], group.sequences[3]
    assert foreign.clips[0].key != matching.clips[0].key
    assert foreign.clips[-1].patches is matching.clips[-1].patches
    other_group = load_group(media, casts, second)
    assert foreign.clips[0].key == other_group.sequences[0].clips[0].key


def test_the_tower_encodes_a_shared_video_once(media, casts):
    first, second = by_cast(read_pairs(casts))
    group = load_group(media, casts, first, Augmentation(5, num_foreign=2, others=(casts, second[0])))
    packed = PackedRewards(tiny_model(tiny_config(tiny_tokenizer())))
    lengths = []
    packed.model.body.visual.register_forward_pre_hook(lambda module, args: lengths.append(len(args[0])))
    rewards = packed(group.sequences)[:, 0]
    matching, foreign = group.sequences[0], group.sequences[3]
    distinct = [*(s.clips[-1] for s in group.sequences[:3]), matching.clips[0], foreign.clips[0]]
    assert lengths == [sum(len(clip.patches) for clip in distinct)]
    alone = packed([foreign])[0, 0]
    assert rewards[3].item() == pytest.approx(alone.item(), abs=2e-6)
    assert rewards[3].item() != pytest.approx(rewards[0].item(), abs=1e-4)


def test_images_and_videos_are_mirrored_at_random(media, casts):
    pair = by_cast(read_pairs(casts))[1]
    plain = load_group(media, casts, pair)
    mirrored = [load_group(media, casts, pair, Augmentation(seed, mirror=True)) for seed in range(8)]
    keys = {group.sequences[0].clips[0].key for group in mirrored}
    assert len(keys) == 2
    assert plain.sequences[0].clips[0].key in keys
    unchanged = [
        np.array_equal(group.sequences[0].clips[1].patches, plain.sequences[0].clips[1].patches) for group in mirrored
    ]
    assert set(unchanged) == {True, False}
    again = load_group(media, casts, pair, Augmentation(3, mirror=True))
    assert np.array_equal(again.sequences[0].clips[1].patches, mirrored[3].sequences[0].clips[1].patches)
