import numpy as np
import pytest

from identity_reward_client.errors import FrameIndexMismatch
from reward_model.data.records import read_pairs, resolve
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import SAMPLING, tiny_config, tiny_tokenizer
from reward_model.training.errors import TrainingError
from reward_model.training.preferences.dataset import read_ahead
from reward_model.training.preferences.groups import Augmentation, load_group
from reward_model.training.preferences.media import FileMedia, pick, read_video
from reward_model.types import Video
from tests.reward_model.training.pairs import make_data


@pytest.fixture(scope="module")
def media():
    tokenizer = tiny_tokenizer()
    return FileMedia(Preprocessor(tiny_config(tokenizer), tokenizer))


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    """The file of a pair with two references."""
    jsonl = make_data(tmp_path_factory.mktemp("two"), ["A", "tie"])
    first, second = read_pairs(jsonl)
    return jsonl, first.model_copy(update={"references": (*first.references, *second.references)})


def patches(sequence):
    return [clip.patches for clip in sequence.clips]


def test_a_pair_shares_its_references_and_nothing_else(media, two_people):
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


def test_references_in_another_order(media, two_people):
    jsonl, pair = two_people

    def keys(seed, permute=True):
        group = load_group(media, jsonl, (pair,), Augmentation(seed, permute_references=permute))
        assert group.sequences[0].prefix_key == group.sequences[1].prefix_key
        return tuple(clip.key for clip in group.sequences[0].clips[:2])

    plain = keys(0, permute=False)
    orders = [keys(seed) for seed in range(8)]
    assert set(orders) == {plain, plain[::-1]}
    assert keys(3) == orders[3]


def test_video_files_and_their_rate(tmp_path, clip):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip(frames=30, fps=10))
    video = read_video(path, SAMPLING)
    assert (video.frames_THWC.shape, video.fps, video.frame_indices) == ((4, 240, 416, 3), 10, (0, 10, 19, 29))
    assert read_video(path, SAMPLING, fps=24.0).fps == 24


def test_more_frames_than_are_looked_at():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    packed = Video(frames, 8.0, 10, tuple(range(10)))
    picked = pick(packed, SAMPLING, "clip")
    assert picked.frame_indices == (0, 3, 6, 9)
    assert picked.frames_THWC[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    short = Video(frames[:3], 8.0, 3, (0, 1, 2))
    # three frames, of which one is looked at twice
    assert pick(short, SAMPLING, "clip").frames_THWC[:, 0, 0, 0].tolist() == list(SAMPLING.indices(3, 8.0))
    with pytest.raises(FrameIndexMismatch, match="pack it with that sampling, or give the video file"):
        pick(Video(frames[:2], 8.0, 10, (0, 3)), SAMPLING, "clip")


def test_an_error_names_pair_and_file(media, two_people, tmp_path):
    jsonl, pair = two_people
    broken = resolve(jsonl, "references/broken.png")
    broken.write_bytes(b"no picture")
    reference = pair.references[0].model_copy(update={"path": "references/broken.png"})
    with pytest.raises(TrainingError, match=r"pair train-0-0 of .*references/broken.png.*no image that can be read"):
        load_group(media, jsonl, (pair.model_copy(update={"references": (reference,)}),))
    with pytest.raises(TrainingError, match=r"clips/gone.mp4"):
        load_group(media, jsonl, (pair.model_copy(update={"video_a": "clips/gone.mp4"}),))


def test_reading_ahead_keeps_the_order_and_raises_where_it_is_due():
    def load(number):
        if number == 7:
            raise TrainingError("seven")
        return number

    results = read_ahead(((n,) for n in range(20)), load, workers=3, ahead=5)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(TrainingError, match="seven"):
        next(results)
