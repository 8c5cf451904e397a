import pytest
import torch
from accelerate import Accelerator

from reward_model.data.records import read_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.configs.files import read_config
from reward_model.training.data.media import FileMedia
from reward_model.training.errors import TrainingError
from reward_model.training.models.packed import PackedRewards
from reward_model.training.preferences.features import FeatureMedia
from reward_model.training.preferences.groups import load_group
from reward_model.training.preferences.run_data import RunData
from reward_model.training.preferences.task import train
from tests.reward_model.training.helpers.pairs import make_data


@pytest.fixture
def data(tmp_path):
    jsonl = make_data(tmp_path, ["A", "B", "tie", "A"])
    return RunData(read_config("smoke", [f"data.clean={jsonl}"]), True), jsonl


def media_of(seed, folder):
    tokenizer = tiny_tokenizer()
    model = tiny_model(tiny_config(tokenizer), seed)
    preprocess = Preprocessor(model.config, tokenizer)
    return model, FileMedia(preprocess), FeatureMedia(preprocess, model, folder)


def test_rewards_from_cached_features_equal_those_from_files(data, tmp_path):
    run, jsonl = data
    model, files, features = media_of(1, tmp_path / "features")
    features.prepare(run.references, run.videos)
    times = sorted(path.stat().st_mtime_ns for path in (tmp_path / "features").glob("*.safetensors"))
    assert len(times) == 4 + 8
    packed = PackedRewards(model)
    calls = []
    model.body.visual.register_forward_pre_hook(lambda module, args: calls.append(1))
    pairs = tuple(read_pairs(jsonl)[:1])
    rewards = [packed(load_group(media, jsonl, pairs).sequences) for media in (files, features)]
    torch.testing.assert_close(rewards[0], rewards[1], atol=1e-5, rtol=0)
    assert len(calls) == 1
    features.prepare(run.references, run.videos)
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "features").glob("*.safetensors")) == times


def test_each_tower_has_its_own_cached_features(data, tmp_path):
    run, _ = data
    for seed in (1, 2):
        media_of(seed, tmp_path / "features")[2].prepare(run.references, run.videos)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 2 * (4 + 8)


def test_cached_features_depend_on_the_frame_rate(tmp_path, clip):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip(frames=30, fps=10))
    _, files, features = media_of(1, tmp_path / "features")
    rates = (None, 5.0, 20.0)
    features.prepare([], [(path, fps) for fps in rates])
    for fps in rates:
        assert features.video(path, fps, False).second_per_grid == files.video(path, fps, False).second_per_grid
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 3


def test_unusable_feature_settings_and_clips_are_refused(data, tmp_path):
    run, _ = data
    _, _, features = media_of(1, tmp_path / "features")
    features.prepare(run.references, run.videos)
    path = run.videos[0][0]
    with pytest.raises(TrainingError, match=r"set data.mirror to false"):
        features.video(path, None, mirrored=True)
    path.write_bytes(b"no clip")
    fresh = media_of(1, tmp_path / "features")[2]
    with pytest.raises(TrainingError, match=r"mend it, or remove its pairs"):
        fresh.prepare(run.references, run.videos)
    with pytest.raises(TrainingError, match=r"model.train_vision and data.mirror false"):
        read_config("smoke", ["data.features=somewhere"])


def test_features_are_computed_before_accelerate_prepares_the_model(tmp_path, monkeypatch):
    jsonl, folder = make_data(tmp_path, ["A", "B"]), tmp_path / "features"
    settings = [
        f"data.clean={jsonl}", "steps=1", "batch=2", "model.train_vision=false", f"data.features={folder}",
        "model.frame_sampling=tiny-uniform-4",
    ]  # fmt: skip
    prepare, counts = Accelerator.prepare, []

    def count_then_prepare(accelerator, *objects):
        counts.append(len(list(folder.glob("*.safetensors"))))
        return prepare(accelerator, *objects)

    monkeypatch.setattr(Accelerator, "prepare", count_then_prepare)
    train(read_config("smoke", settings), tmp_path / "run")
    assert counts == [2 + 4]


def test_training_with_cached_features_does_not_change_the_tower(tmp_path):
    jsonl = make_data(tmp_path, ["A", "B", "tie", "A"])
    settings = [
        f"data.clean={jsonl}", "steps=3", "model.train_vision=false", f"data.features={tmp_path / 'features'}",
        "model.frame_sampling=tiny-uniform-4", "model.saved_dtype=float32",
    ]  # fmt: skip
    from reward_model.qwen.loading import load_model
    from reward_model.training.models.initial import initial_model

    config = read_config("smoke", settings)
    before = initial_model(config.model, config.seed)[0].state_dict()
    after = load_model(train(config, tmp_path / "run"))[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name.startswith("body.visual") for name in changed)
