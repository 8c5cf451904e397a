"""Training runs of face-tracks on the example clips, from files to a scorer that ranks them."""

import os
import signal
import subprocess
import sys

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from identity_reward_client.preference import Preference
from reward_model.faces.face_tracks import load_folder
from reward_model.faces.tracks.head_config import read_head_config
from reward_model.training.cli import train_reward
from reward_model.training.configs.face_tracks import TrackPairs
from reward_model.training.configs.files import config_yaml, read_config
from reward_model.training.errors import Interrupted, TrainingError
from reward_model.training.face_tracks.extract import clips_of, read_clip
from reward_model.training.face_tracks.task import train_face_tracks
from reward_model.training.loop.journal import read_metrics
from tests.reward_model.training.helpers.face_tracks import SMALL, RecordingProgress, record
from tests.support.waiting import wait_until


def test_run_writes_a_scorer_that_ranks_clips(trained, config, examples):
    out, progress = trained
    assert progress.work["faces of clips"] == 5
    scorer = load_folder(out)
    rewards = {}
    for name in ("two_people", "two_people_one_missing"):
        clip = clips_of(examples / "pairs.jsonl", record("x", Preference.A, ("references/bea", "references/carl"),
                        (f"clips/{name}.mp4", "clips/two_people.mp4")))[0]  # fmt: skip
        rewards[name] = scorer.forward([scorer.preprocess(read_clip(clip))])[0].reward
    assert rewards["two_people"] > rewards["two_people_one_missing"] + 0.5
    assert read_head_config(out).training["pairs"] == [4, 4]


def test_finished_run_and_run_of_another_config_are_not_changed(trained, config, capsys):
    out, run = trained[0], trained[0].parent
    written = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match="exists already; --resume goes on with it"):
        train_face_tracks(config, run, progress=RecordingProgress())
    recorded = RecordingProgress()
    assert train_face_tracks(config, run, resume=True, progress=recorded) == out
    assert "finished already; the model is in" in capsys.readouterr().err
    assert recorded.work == {}
    same = config.model_copy(update={"dev": (config.train[0].path,)})
    with pytest.raises(TrainingError, match="show the same persons: anna, bea, carl; "):
        train_face_tracks(same, run.parent / "same", progress=recorded)
    assert not (run.parent / "same").exists()
    changed = config.model_copy(update={"seed": 5})
    with pytest.raises(TrainingError, match="holds another run: seed was 0 and is 5"):
        train_face_tracks(changed, run, resume=True, progress=recorded)
    assert written == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_a_run_and_resume_reads_only_the_remaining_clips(number, examples, tmp_path):
    """While clips are read, all processes get SIGINT, as from a terminal, or the parent process gets SIGTERM."""
    for name in ("clips", "references", "pairs.jsonl", "dev.jsonl"):
        (tmp_path / name).symlink_to(examples / name)
    pairs, dev = (str(tmp_path / f"{name}.jsonl") for name in ("pairs", "dev"))
    out, cache = tmp_path / "run", tmp_path / "cache"
    config = SMALL.model_copy(
        update={"train": (TrackPairs(path=pairs),), "dev": (dev,), "cache": str(cache), "epochs": 1, "workers": 1}
    )
    (tmp_path / "config.yaml").write_text(config_yaml(config))
    command = [sys.executable, "-m", "reward_model.training", str(tmp_path / "config.yaml"), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: list(cache.rglob("*.safetensors")), "features are cached", running=process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert f"to go on: identity-reward train-reward {out / 'config.yaml'} --out {out} --resume" in output
    assert "Traceback" not in output
    resumed = RecordingProgress()
    num_cached = len(list(cache.rglob("*.safetensors")))
    assert 1 <= num_cached < 5
    train_face_tracks(config, out, resume=True, progress=resumed)
    assert resumed.work["faces of clips"] == 5 - num_cached
    assert load_folder(out / "model").info.name == "face-tracks"


def test_interrupted_run_names_the_cache_and_can_be_resumed(config, tmp_path):
    class InterruptedProgress(RecordingProgress):
        def __call__(self, what: str, total: int):
            raise KeyboardInterrupt

    fresh = config.model_copy(update={"cache": str(tmp_path / "cache")})
    with pytest.raises(Interrupted, match=r"stopped; features of the clips read so far are kept in .*cache"):
        train_face_tracks(fresh, tmp_path / "run", progress=InterruptedProgress())
    assert read_config(str(tmp_path / "run" / "config.yaml")) == fresh
    with pytest.raises(Interrupted):
        train_face_tracks(fresh, tmp_path / "run", resume=True, progress=InterruptedProgress())


def test_run_writes_metrics_curves_and_tensorboard_scalars(trained, config):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained[0].parent
    lines = read_metrics(run)
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    dev = {line["step"]: line["dev"] for line in lines if "dev" in line}
    assert losses.keys() == dev.keys()
    assert {line["member"] for line in lines if "dev" in line} == {0, 1}
    assert len(losses) > config.epochs >= len([step for step in losses if step < config.epochs])
    assert dev[max(dev)]["loss"] < dev[0]["loss"]
    assert {"accuracy_without_ties", "accuracy_with_ties"} < dev[0].keys()
    with Image.open(run / "curves.png") as image:
        assert image.format == "PNG"
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"loss", "dev/accuracy_without_ties", "dev/loss"} <= set(board.Tags()["scalars"])
    assert len(board.Scalars("loss")) == len(losses)
    assert sorted(path.name for path in trained[0].iterdir()) == ["config.json", "model.safetensors"]


def test_train_reward_command_trains_face_tracks_on_a_folder(examples, trained, tmp_path):
    app = typer.Typer()
    app.command()(train_reward)
    (examples / "train.jsonl").write_bytes((examples / "pairs.jsonl").read_bytes())
    arguments = ["face-tracks", "--data", str(examples), "--out", str(tmp_path / "run")]
    small = [f"--set=cache={examples / 'cache'}", "--set=epochs=2", "--set=members=1"]
    result = CliRunner().invoke(app, [*arguments, *small])
    assert result.exit_code == 0, result.output
    assert load_folder(tmp_path / "run" / "model").info.name == "face-tracks"
    again = CliRunner().invoke(app, [*arguments, *small])
    assert again.exit_code == 2
    assert "exists already" in again.output
    resumed = CliRunner().invoke(app, [*arguments, *small, "--resume"])
    assert resumed.exit_code == 0
    assert "finished already" in resumed.output


def test_shipped_config_takes_overrides_and_a_data_folder(tmp_path):
    shipped = read_config("face-tracks", ["augmentation.size_shift=0.1", "seed=3"])
    assert (shipped.kind, shipped.augmentation.size_shift, shipped.seed) == ("face-tracks", 0.1, 3)
    with pytest.raises(TrainingError, match="no pairs are given"):
        train_face_tracks(shipped, tmp_path / "run", progress=RecordingProgress())
    with pytest.raises(TrainingError, match=r"epohcs is no field; did you mean epochs\?"):
        read_config("face-tracks", ["epohcs=3"])
    (tmp_path / "dev.jsonl").touch()
    config = read_config("face-tracks", [], tmp_path)
    assert [pairs.path for pairs in config.train] == [str(tmp_path / "train.jsonl")]
    assert config.dev == (str(tmp_path / "dev.jsonl"),)
