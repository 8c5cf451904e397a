"""The stage for real: rendered people, a tiny tower, a run that stops and goes on."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from reward_model.data.records import read_pairs
from reward_model.folder import read_config as read_model_config
from reward_model.qwen.preprocess import Preprocessor
from reward_model.training.configs.files import read_config
from reward_model.training.errors import TrainingError
from reward_model.training.loop.journal import read_metrics
from reward_model.training.models.initial import initial_model
from reward_model.training.models.packed import PackedRewards
from reward_model.training.preferences.groups import by_cast
from reward_model.training.supervision.ground_truth import HEAD_CODE_SIZE, HeadTruth
from reward_model.training.supervision.losses import HeadSupervision
from reward_model.training.vision_pretraining.batches import HeadLoader
from reward_model.training.vision_pretraining.losses import HeadReader
from reward_model.training.vision_pretraining.task import train_heads


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config(people, **settings):
    settings = {
        "model.backbone": "tiny", "model.frame_sampling": "compact-uniform-8", "batch": 2, "epochs": 4,
        "evaluate_every": 3, "save_every": 2, "precision": "fp32", "data.clean": people / "train.jsonl",
        "data.dev": people / "dev.jsonl", **settings,
    }  # fmt: skip
    return read_config("compact-heads", [f"{key}={value}" for key, value in settings.items()])


def losses(folder):
    return [line["loss"] for line in read_metrics(folder) if "loss" in line]


def test_a_run_that_stops_goes_on_as_if_it_had_not(people, tmp_path, monkeypatch):
    whole = train_heads(config(people), tmp_path / "whole")
    assert read_model_config(whole).domain == "photographs"
    told = losses(tmp_path / "whole")
    assert len(told) == 4
    assert told[-1] < told[0]
    assert (tmp_path / "whole" / "curves.png").read_bytes().startswith(b"\x89PNG")
    measured = [line["dev"] for line in read_metrics(tmp_path / "whole") if "dev" in line]
    assert all(0 <= values[name] <= 1 for values in measured for name in ("matched", "same_or_other_auc"))
    attention = [line["attention"] for line in read_metrics(tmp_path / "whole") if "attention" in line]
    assert attention[-1] < attention[0]

    from reward_model.training.vision_pretraining.task import HeadsRun

    step = HeadsRun._step

    def die_at_three(run, batch):
        if run.done == 3:
            raise MemoryError
        return step(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(HeadsRun, "_step", die_at_three)
        with pytest.raises(MemoryError):
            train_heads(config(people), tmp_path / "cut")
    train_heads(config(people), tmp_path / "cut", resume=True)
    assert losses(tmp_path / "cut") == told
    weights = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_a_dev_clip_that_cannot_be_read_is_named(people, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(people, data)
    pair = read_pairs(data / "dev.jsonl")[0]
    for name in (pair.video_a, pair.video_b):
        (data / name).write_bytes(b"no clip")
    clips = {"data.clips_per_cast": 100}
    with pytest.raises(TrainingError, match=rf"pair {pair.pair_id} of .*dev.jsonl: ({pair.video_a}|{pair.video_b}): "):
        train_heads(config(data, **clips), tmp_path / "run")


def test_slices_without_a_head_teach_nothing_and_stop_nothing(people):
    class Nobody(HeadTruth):
        def heads(self, scenario, clip, frames):
            return ()

    model, tokenizer = initial_model(config(people).model, 0)
    casts = by_cast(read_pairs(people / "train.jsonl"))[:2]
    load = HeadLoader(people / "train.jsonl", Nobody(people), Preprocessor(model.config, tokenizer), 3)
    batch = load(casts, np.random.default_rng(0))
    assert (batch.num_slices, len(batch.match)) == (0, 0)
    losses = HeadReader(model.requires_grad_(True), HEAD_CODE_SIZE).losses(batch)
    sum(losses.values()).backward()
    assert losses["look"].item() > 0
    assert (losses["matching"].item(), losses["attention"].item()) == (0, 0)


def test_attention_of_slices_is_that_of_whole_sequences(people):
    """The stage's own small forward against the packed one, in which the language model is run."""
    model, tokenizer = initial_model(config(people).model, 0)
    preprocess = Preprocessor(model.config, tokenizer)
    casts = by_cast(read_pairs(people / "train.jsonl"))[:2]
    batch = HeadLoader(people / "train.jsonl", HeadTruth(people), preprocess, 3)(casts, np.random.default_rng(0))
    reader = HeadReader(model.requires_grad_(True), HEAD_CODE_SIZE)
    seen = reader(batch)
    packed = PackedRewards(model, supervision=HeadSupervision(model.head.weight.shape[1]))
    sequences = []
    for number, view in enumerate(batch.views):
        features = [*(seen.pictures[n] for n in view.references), seen.slices[number]]
        clips = [replace(clip, patches=part) for clip, part in zip(view.sequence.clips, features, strict=True)]
        sequences.append(replace(view.sequence, clips=tuple(clips)))
    _, losses = packed(sequences, [view.heads for view in batch.views])
    torch.testing.assert_close(reader.attention(seen, batch), losses[0] / len(sequences))
    reader.attention(seen, batch).backward()
    assert float(reader.query.weight.grad.abs().max()) > 0
    assert float(reader.tower.patch_embed.proj.weight.grad.abs().max()) > 0


def test_what_is_said_of_wrong_input(people, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(TrainingError, match="kind heads trains in one process, and 2 were started"):
            train_heads(config(people), tmp_path / "e")
    assert not (tmp_path / "e").exists()
    with pytest.raises(TrainingError, match=r"harmed is a share of windows; give window too"):
        config(people, **{"data.window": "null"})
    with pytest.raises(TrainingError, match=r"set data.clean to a JSONL"):
        train_heads(config(people, **{"data.clean": "null"}), tmp_path / "a")
    saved = re.escape(f"The state before it is in {tmp_path / 'b' / 'state' / 'step-00000001'}")
    with pytest.raises(TrainingError, match=rf"step 2: .*lower `rate`\. {saved}"):
        train_heads(config(people, rate=1e18, save_every=100, **{"optimizer.warmup": 0}), tmp_path / "b")
    with pytest.raises(TrainingError, match=r"show the same persons"):
        train_heads(config(people, **{"data.dev": people / "train.jsonl"}), tmp_path / "d")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "something").touch()
    with pytest.raises(TrainingError, match="exists already"):
        train_heads(config(people), tmp_path / "c")
