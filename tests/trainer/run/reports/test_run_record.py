import json
import subprocess

from identity_reward_client import FakeRewardClient, SyncRewardClient
from trainer.run.reports import run_record
from trainer.run.reports.run_record import RECORD, commit, record_start


def models():
    with SyncRewardClient(FakeRewardClient()) as client:
        return {"identity": client.models()[0]}


def test_a_start_says_what_it_was_made_with(tmp_path):
    record_start(tmp_path, {"steps": 4}, models(), num_processes=2, first_step=0)
    [start] = json.loads((tmp_path / RECORD).read_text())["starts"]
    assert start["config"] == {"steps": 4}
    assert start["reward_models"]["identity"]["fingerprint"] == "fake"
    assert start["versions"]["torch"]
    assert (start["machine"]["processes"], start["first_step"]) == (2, 0)


def test_a_resumed_run_adds_a_start(tmp_path):
    for first_step in (0, 7):
        record_start(tmp_path, {"steps": 9}, models(), 1, first_step)
    starts = json.loads((tmp_path / RECORD).read_text())["starts"]
    assert [start["first_step"] for start in starts] == [0, 7]


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_marks_changed_files_and_is_none_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(run_record, "_SOURCE", tmp_path)
    assert commit() is None
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    assert len(clean := commit()) == 40
    (tmp_path / "file").write_text("2")
    assert commit() == clean + "+"
    (tmp_path / "inside").mkdir()
    monkeypatch.setattr(run_record, "_SOURCE", tmp_path / "inside")
    assert commit() is None
