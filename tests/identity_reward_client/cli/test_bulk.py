"""bulk: resumes after a real kill, never scores an item twice, keeps what failed."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter

import pytest
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from identity_reward_client.cli.bulk_output import BulkOutput
from identity_reward_client.cli.bulk_run import run_bulk
from identity_reward_client.cli.manifest import read_manifest
from identity_reward_client.errors import (
    Conflict,
    ConnectionFailed,
    InvalidMedia,
    InvalidRequest,
    NotReady,
    Unauthenticated,
)
from identity_reward_client.fake import FakeRewardClient
from identity_reward_client.fields.warnings import ScoreWarning
from tests.support.waiting import GENEROUS_S, wait_until


@pytest.fixture
def manifest(files):
    def make(count=6, **fields):
        lines = []
        for i in range(count):
            (files / f"{i}.mp4").write_bytes(b"clip %d" % i)
            lines.append({"id": f"item-{i}", "references": ["a.jpg", "b.jpg"], "video": f"{i}.mp4", **fields})
        path = files / "manifest.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return make


@pytest.fixture
def bulk(wire, files):
    def run(*extra, manifest=files / "manifest.jsonl", output=files / "scores.jsonl"):
        arguments = ["bulk", manifest, "-o", output, "--url", wire.url, *extra]
        return CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(argument) for argument in arguments])

    return run


def records(files):
    return [json.loads(line) for line in (files / "scores.jsonl").read_text().splitlines()]


def start_bulk(manifest, files, wire):
    """A process in the middle of its work: some of the items are scored."""
    output = files / "scores.jsonl"
    command = [sys.executable, "-c", "from identity_reward_client.cli.app import main; main()"]
    command += ["bulk", manifest, "-o", output, "--url", wire.url, "--concurrency", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    written = lambda: output.exists() and output.read_bytes().count(b"\n") >= 5  # noqa: E731
    wait_until(written, "five items are scored", running=process)
    return process


def scored_videos(wire):
    return Counter(json.loads(r.body)["video"]["data"] for r in wire.requests if r.path == "/v1/score")


def test_warnings_are_in_the_records_and_counted(manifest, bulk, files, wire):
    wire.fake._warnings = {0: [ScoreWarning(code="still_video", message="it moves by 1 level, below 6")]}
    manifest(2)
    assert "holds 2 items, 0 failed, 2 with warnings" in bulk().stderr
    assert [[w["code"] for w in record["warnings"]] for record in records(files)] == [["still_video"]] * 2


def test_every_item_has_the_reward_of_the_client(manifest, bulk, files, wire):
    manifest(6, prompt="two people", fps=8)
    result = bulk()
    assert result.exit_code == 0, result.output
    assert "6 scored, 0 failed, 0 done before" in result.stderr
    priorities = [request.headers["x-priority"] for request in wire.requests if request.path == "/v1/score"]
    assert priorities == ["bulk"] * 6, "callers who wait for a response come first"
    by_id = {record["id"]: record for record in records(files)}
    assert sorted(by_id) == [f"item-{i}" for i in range(6)]
    for i in range(6):
        direct = asyncio.run(wire.fake.score([files / "a.jpg"], files / f"{i}.mp4"))
        record = by_id[f"item-{i}"]
        assert record["reward"] == direct.reward
        assert (record["video"], record["prompt"], record["fps"]) == (f"{i}.mp4", "two people", 8)
        assert record["model"]["name"] == "fake"


def test_second_run_scores_nothing(manifest, bulk, wire):
    manifest()
    bulk()
    before = len(wire.requests)
    result = bulk()
    assert result.exit_code == 0
    assert len(wire.requests) == before
    assert "6 done before" in result.stderr


def test_longer_manifest_scores_only_the_new_items(manifest, bulk, files, wire):
    manifest(3)
    bulk()
    manifest(6)
    assert bulk().exit_code == 0
    assert len(records(files)) == 6
    assert set(scored_videos(wire).values()) == {1}


def test_failed_item_is_recorded_and_retried_only_with_retry_failed(manifest, bulk, files, wire):
    manifest(4)
    (files / "2.mp4").unlink()
    wire.script.extend([None, InvalidMedia("not a video")])
    result = bulk("--concurrency", 1)
    assert result.exit_code == 1
    assert "2 scored, 2 failed" in result.stderr
    failed = {record["id"]: record["error"] for record in records(files) if "error" in record}
    assert failed["item-0"] == {"code": "invalid_media", "message": "not a video", "retryable": False, "details": {}}
    assert "2.mp4" in failed["item-2"]["message"]
    before = len(wire.requests)
    assert bulk().exit_code == 1
    assert len(wire.requests) == before
    (files / "2.mp4").write_bytes(b"found")
    assert bulk("--retry-failed").exit_code == 0
    assert Counter(record["id"] for record in records(files)) == {f"item-{i}": 1 for i in range(4)}
    assert all("reward" in record for record in records(files))


def test_concurrency_is_bounded_and_used(manifest, bulk, wire):
    wire.delay_s = 0.05
    manifest(12)
    assert bulk("--concurrency", 3).exit_code == 0
    assert wire.max_active == 3


def test_killed_run_continues_where_it_stopped(manifest, bulk, files, wire):
    wire.delay_s = 0.03
    output = files / "scores.jsonl"
    process = start_bulk(manifest(40), files, wire)
    process.kill()
    process.communicate(timeout=GENEROUS_S)
    assert process.returncode == -signal.SIGKILL
    whole = output.read_bytes().count(b"\n")
    assert 5 <= whole < 40
    answered = {record["id"] for record in records(files)}
    with open(output, "ab") as file:
        file.write(b'{"id": "item-39", "rew')  # as a kill in the middle of a write leaves it
    before = len(wire.requests)
    assert bulk().exit_code == 0
    assert Counter(record["id"] for record in records(files)) == {f"item-{i}": 1 for i in range(40)}
    again = {json.loads(r.body)["video"]["data"] for r in wire.requests[before:] if r.path == "/v1/score"}
    assert len(again) == 40 - len(answered)


def test_ctrl_c_stops_with_one_line_and_loses_no_result(manifest, bulk, files, wire):
    wire.delay_s = 0.03
    process = start_bulk(manifest(40), files, wire)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == 130
    assert "run again to continue" in stderr
    assert "Traceback" not in stderr
    assert bulk().exit_code == 0
    assert Counter(record["id"] for record in records(files)) == {f"item-{i}": 1 for i in range(40)}


def test_unreachable_service_ends_the_run_and_fails_no_item(manifest, bulk, files, unused_tcp_port):
    manifest()
    result = bulk("--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 1
    assert "nothing answers" in result.stderr
    assert records(files) == []


def test_bad_lines_are_reported_before_scoring(manifest, bulk, files, wire):
    path = manifest(2)
    path.write_text(path.read_text() + '{"video": 5}\n')
    result = bulk()
    assert result.exit_code == 1
    assert "line 3" in result.stderr
    assert wire.requests == []
    assert not (files / "scores.jsonl").exists()


def test_id_of_another_item_is_refused(manifest, bulk, wire):
    manifest(2)
    bulk()
    manifest(2, prompt="another")
    before = len(wire.requests)
    result = bulk()
    assert result.exit_code == 1
    assert "'item-0' for another item" in result.stderr
    assert len(wire.requests) == before


def test_scores_of_two_models_are_not_mixed(manifest, bulk, files, wire):
    manifest(2)
    bulk()
    text = (files / "scores.jsonl").read_text().replace('"fingerprint": "fake"', '"fingerprint": "older"')
    (files / "scores.jsonl").write_text(text)
    manifest(3)
    result = bulk()
    assert result.exit_code == 1
    assert "older" in result.stderr
    assert len(records(files)) == 2


def test_unknown_model_is_reported_before_scoring(manifest, bulk, wire):
    manifest(2)
    result = bulk("--model", "nope")
    assert result.exit_code == 1
    assert "served: fake" in result.stderr
    assert wire.paths() == ["/v1/models"]


def test_file_with_other_content_is_not_changed(manifest, bulk, files):
    manifest(2)
    (files / "scores.jsonl").write_text('{"id": 1, "text": "notes"}\nmore notes\n')
    result = bulk()
    assert result.exit_code == 1
    assert "isn't a result of bulk" in result.stderr
    assert (files / "scores.jsonl").read_text() == '{"id": 1, "text": "notes"}\nmore notes\n'


@pytest.mark.parametrize(
    "error", [ConnectionFailed("gone"), NotReady("draining"), Unauthenticated("who?")], ids=lambda e: type(e).__name__
)
async def test_error_of_the_service_ends_the_run_and_fails_no_item(manifest, files, error):
    items = read_manifest(manifest(6))
    client = FakeRewardClient(fail_calls={3: error})
    (model,) = await client.models()
    output = BulkOutput(files / "scores.jsonl")
    with pytest.raises(type(error)):
        await run_bulk(client, items, output, model, concurrency=1)
    output.close()
    assert [record["id"] for record in records(files)] == ["item-0", "item-1", "item-2"]


async def test_change_of_the_model_ends_the_run(manifest, files):
    client = FakeRewardClient()
    (model,) = await client.models()
    output = BulkOutput(files / "scores.jsonl")
    with pytest.raises(InvalidRequest, match="changed"):
        await run_bulk(
            client, read_manifest(manifest(2)), output, model.model_copy(update={"fingerprint": "x"}), concurrency=1
        )
    output.close()
    assert records(files) == []


LINE = {"id": "x", "item_sha256": "0", "reward": 1.0}


def test_last_line_without_a_line_end_is_kept(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(LINE))
    output = BulkOutput(path)
    output.append({**LINE, "id": "y"})
    output.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["x", "y"]


def test_two_runs_do_not_write_one_file(tmp_path):
    first = BulkOutput(tmp_path / "scores.jsonl")
    with pytest.raises(Conflict, match="another run"):
        BulkOutput(tmp_path / "scores.jsonl")
    first.append({"id": "x", "error": {}})
    first.drop_failed()
    with pytest.raises(Conflict, match="another run"):
        BulkOutput(tmp_path / "scores.jsonl")
    first.close()
    BulkOutput(tmp_path / "scores.jsonl").close()


def test_record_is_on_disk_when_append_returns(tmp_path):
    output = BulkOutput(tmp_path / "deep" / "scores.jsonl")
    output.append(LINE)
    assert json.loads((tmp_path / "deep" / "scores.jsonl").read_text()) == LINE
    with pytest.raises(ValueError, match="JSON"):
        output.append({**LINE, "reward": float("nan")})
    output.close()


def test_unfinished_line_of_another_file_is_not_cut(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my only notes, without a newline")
    with pytest.raises(InvalidRequest):
        BulkOutput(path)
    assert path.read_text() == "my only notes, without a newline"
