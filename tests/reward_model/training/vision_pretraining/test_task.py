"""Vision pretraining of a tiny tower on rendered people."""

import re
import shutil

import pytest

from reward_model.data.records import read_pairs
from reward_model.folder import read_config as read_model_config
from reward_model.training.errors import TrainingError
from reward_model.training.loop.journal import read_metrics
from reward_model.training.vision_pretraining.task import VisionPretrainingTask, pretrain_vision
from tests.reward_model.training.helpers.runs import losses
from tests.reward_model.training.vision_pretraining.vision_config import vision_config


def test_failed_run_resumes_to_the_same_weights(people, tmp_path, monkeypatch):
    whole = pretrain_vision(vision_config(people), tmp_path / "whole")
    assert read_model_config(whole).domain == "photographs"
    whole_losses = losses(tmp_path / "whole")
    assert len(whole_losses) == 4
    assert whole_losses[-1] < whole_losses[0]
    assert (tmp_path / "whole" / "curves.png").read_bytes().startswith(b"\x89PNG")
    measured = [line["dev"] for line in read_metrics(tmp_path / "whole") if "dev" in line]
    assert all(0 <= values[name] <= 1 for values in measured for name in ("matched", "same_or_other_auc"))
    attention = [line["attention"] for line in read_metrics(tmp_path / "whole") if "attention" in line]
    assert attention[-1] < attention[0]

    step = VisionPretrainingTask.step

    def fail_in_step_four(task, number, batch):
        if number == 3:
            raise MemoryError
        return step(task, number, batch)

    with monkeypatch.context() as patch:
        patch.setattr(VisionPretrainingTask, "step", fail_in_step_four)
        with pytest.raises(MemoryError):
            pretrain_vision(vision_config(people), tmp_path / "cut")
    pretrain_vision(vision_config(people), tmp_path / "cut", resume=True)
    assert losses(tmp_path / "cut") == whole_losses
    weights = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_error_of_an_unreadable_dev_clip_names_pair_and_file(people, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(people, data)
    pair = read_pairs(data / "dev.jsonl")[0]
    for name in (pair.video_a, pair.video_b):
        (data / name).write_bytes(b"no clip")
    clips = {"data.clips_per_cast": 100}
    with pytest.raises(TrainingError, match=rf"pair {pair.pair_id} of .*dev.jsonl: ({pair.video_a}|{pair.video_b}): "):
        pretrain_vision(vision_config(data, **clips), tmp_path / "run")


def test_unusable_configs_and_folders_are_refused_with_the_reason(people, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(TrainingError, match="kind vision-pretraining trains in one process, and 2 were started"):
            pretrain_vision(vision_config(people), tmp_path / "e")
    assert not (tmp_path / "e").exists()
    with pytest.raises(TrainingError, match=r"corrupted_share is a share of windows; give window too"):
        vision_config(people, **{"data.window": "null"})
    with pytest.raises(TrainingError, match=r"set data.clean to a JSONL"):
        pretrain_vision(vision_config(people, **{"data.clean": "null"}), tmp_path / "a")
    saved = re.escape(f"The last state is in {tmp_path / 'b' / 'state' / 'step-00000001'}")
    with pytest.raises(
        TrainingError, match=rf"of step 2 is (nan|inf), with casts .*; it changed nothing\. {saved}\. Lower `rate`"
    ):
        pretrain_vision(vision_config(people, rate=1e18, save_every=100, **{"optimizer.warmup": 0}), tmp_path / "b")
    with pytest.raises(TrainingError, match=r"show the same persons"):
        pretrain_vision(vision_config(people, **{"data.dev": people / "train.jsonl"}), tmp_path / "d")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "something").touch()
    with pytest.raises(TrainingError, match="exists already"):
        pretrain_vision(vision_config(people), tmp_path / "c")
