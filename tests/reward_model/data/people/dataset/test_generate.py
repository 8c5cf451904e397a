"""`identity-reward data people` as a program: files do not depend on the number of workers or on interruptions."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reward_model.data.packed_clip import read_packed
from reward_model.data.people.dataset.generate import generate
from reward_model.data.people.scenarios.options import PeopleOptions
from reward_model.data.people.scenarios.scenario import ClipSize
from reward_model.data.records import read_pairs
from reward_model.decoding.decoders import decode_frames, probe
from tests.support.waiting import wait_until

PROGRAM = [sys.executable, "-c", "from reward_model.data.cli import app; app()"]
SIZE = ClipSize(num_frames=5, width=84, height=48)
SMALL = ["--size", "48x84", "--num-frames", "5", "--seed", "2", "--split", "train=0.5,dev=0.25,test=0.25"]
SPLITS = {"train": 0.5, "dev": 0.25, "test": 0.25}
PAIRS, SCENARIOS = 23, 4
# generous: the machine may be busy
LIMIT_S = 600


def run_people(out, *arguments):
    """Runs the command to its end."""
    return subprocess.run(
        [*PROGRAM, "people", "--out", str(out), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def content(folder):
    """{file: SHA-256} of all files except the lock and the log."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "scenarios.log")
    }


def pairs_of(folder):
    return [pair for path in sorted(folder.glob("*.jsonl")) for pair in read_pairs(path)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("people") / "data"
    assert sum(generate(out, PeopleOptions(PAIRS, 2, splits=SPLITS, size=SIZE), workers=1).pairs.values()) == PAIRS
    return out


def test_data_set_is_complete_and_consistent(written):
    pairs = pairs_of(written)
    assert len(pairs) == len({pair.pair_id for pair in pairs}) == PAIRS
    people_of = {split: set() for split in ("train", "dev", "test")}
    for pair in pairs:
        people_of[pair.split].update(pair.persons)
        assert pair.source == "construction"
        assert pair.label == pair.meta["truth"]
        assert pair.licence == "CC0-1.0"
    assert all(people_of.values())
    assert len(set.union(*people_of.values())) == sum(map(len, people_of.values()))
    world = json.loads((written / "world.json").read_text())
    assert world["arguments"]["seed"] == 2
    assert "numpy" in world["versions"]
    used = {video for pair in pairs for video in (pair.video_a, pair.video_b)}
    assert used <= {f"clips/{path.name}" for path in (written / "clips").iterdir()}
    data = (written / pairs[0].video_a).read_bytes()
    video = probe(data)
    assert (video.codec, video.width, video.height, video.num_frames, video.fps) == ("h264", 84, 48, 5, 16.0)
    assert decode_frames(data, [0, 4]).shape == (2, 48, 84, 3)


def test_check_finds_no_problems(written):
    files = [str(written / f"{split}.jsonl") for split in ("train", "dev", "test")]
    result = subprocess.run([*PROGRAM, "check", *files], capture_output=True, text=True, timeout=LIMIT_S)
    assert result.returncode == 0, result.stderr
    assert "no problems" in result.stdout


def test_killed_run_resumes_to_the_same_files(written, tmp_path):
    """The run is killed while workers are active, and its log ends with a truncated line."""
    out = tmp_path / "data"
    arguments = ["--out", str(out), *SMALL, "--pairs", str(PAIRS), "--workers", "2"]
    process = subprocess.Popen([*PROGRAM, "people", *arguments], stderr=subprocess.PIPE, text=True)
    log = out / "scenarios.log"
    wait_until(lambda: log.exists() and b"\n" in log.read_bytes(), "a scenario is written", LIMIT_S, process)
    children = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    lines = log.read_bytes().count(b"\n")
    assert lines < SCENARIOS
    assert not (out / "train.jsonl").exists()
    # workers end with their parent
    wait_until(lambda: not any(_alive(child) for child in children), "all workers have ended")
    with log.open("a") as file:
        file.write('{"scenario": 3, "pai')
    result = run_people(out, *SMALL, "--pairs", PAIRS, "--workers", 2)
    assert result.returncode == 0, result.stderr
    assert f"{SCENARIOS - lines} of {SCENARIOS} scenarios" in result.stdout
    assert content(out) == content(written)


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_interrupt_stops_all_processes_with_a_hint(tmp_path):
    out = tmp_path / "data"
    process = subprocess.Popen(
        [*PROGRAM, "people", "--out", str(out), *SMALL, "--pairs", "600"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    log = out / "scenarios.log"
    wait_until(lambda: log.exists() and log.stat().st_size, "a scenario is written", LIMIT_S, process)
    # to all processes, as a terminal does
    os.killpg(process.pid, signal.SIGINT)
    _, output = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert output.strip().splitlines()[-1] == f"stopped; the same command goes on with {out}"
    assert "Traceback" not in output
    assert not list(out.rglob(".*.writing"))


def test_incomplete_run_of_other_package_versions_is_not_resumed(written, tmp_path):
    out = tmp_path / "data"
    shutil.copytree(written, out)
    world = json.loads((out / "world.json").read_text())
    world["versions"]["numpy"] = "0.1"
    (out / "world.json").write_text(json.dumps(world))
    assert run_people(out, *SMALL, "--pairs", PAIRS).returncode == 0
    lines = (out / "scenarios.log").read_text().splitlines(keepends=True)
    (out / "scenarios.log").write_text("".join(lines[:-1]))
    result = run_people(out, *SMALL, "--pairs", PAIRS)
    assert result.returncode == 2
    assert "was begun by numpy 0.1 (now " in result.stderr


def test_folder_of_other_options_is_refused_and_complete_folder_is_not_changed(written):
    before = content(written)
    result = run_people(written, *SMALL, "--pairs", PAIRS, "--seed", 3)
    assert result.returncode == 2
    assert "was begun with seed 2 (now 3)" in result.stderr
    result = run_people(written, *SMALL, "--pairs", PAIRS, "--labels", "auto")
    assert "labels 'exact' (now 'auto')" in result.stderr
    result = run_people(written, *SMALL, "--pairs", PAIRS)
    assert result.returncode == 0
    assert f"0 of {SCENARIOS} scenarios" in result.stdout
    assert content(written) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "train=0.5"], "sum to 1"),
        (["--size", "48"], "two sides in pixels"),
        (["--frames", "packed", "--sampling", "none"], "is none of identity-grpo"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(tmp_path, arguments, message):
    result = run_people(tmp_path / "data", "--pairs", 5, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_packed_clips_and_noisy_votes(written, tmp_path):
    """Packed clips have the content of the video files, and automatic labels differ from the truth of some pairs."""
    packed = ["--frames", "packed", "--packed-frames", 4, "--packed-size", "28x56"]
    result = run_people(
        tmp_path, *SMALL, *packed, "--pairs", 12, "--labels", "auto", "--split", "train=1", "--workers", 1
    )
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["train.jsonl"]
    pairs = read_pairs(tmp_path / "train.jsonl")
    clean = {pair.pair_id: pair for pair in pairs_of(written)}
    assert [pair.meta["truth"] for pair in pairs] == [clean[pair.pair_id].label for pair in pairs]
    assert {pair.source for pair in pairs} == {"vlm"}
    assert any(pair.label != pair.meta["truth"] for pair in pairs)
    for pair in pairs[:4]:
        clip = read_packed(tmp_path / pair.video_a)
        assert clip.frames_THWC.shape == (4, 28, 56, 3)
        assert (clip.fps, clip.num_source_frames, clip.frame_indices) == (16.0, 5, (0, 1, 3, 4))
        # the same content as the video file, smaller
        video = decode_frames((written / clean[pair.pair_id].video_a).read_bytes(), clip.frame_indices)
        colours = [frames.reshape(4, -1, 3).mean(1) for frames in (clip.frames_THWC, video)]
        assert np.abs(colours[0] - colours[1]).max() < 6
