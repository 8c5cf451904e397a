"""The job routes of a running server, and the command that uses them."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from tests.e2e.job_calls import NDJSON, info, manifest, results, submit, wait_for_job
from tests.support.grey_videos import grey_request
from tests.support.media import encode_jpeg, encode_video, panned_portrait, portrait
from tests.support.waiting import GENEROUS_S, wait_until


@pytest.fixture(scope="module")
def shared(serve_slow, tmp_path_factory):
    """Scores one video at a time."""
    path = tmp_path_factory.mktemp("jobs") / "jobs.sqlite"
    options = {"max_job_items": 500, "max_batch_tokens": 100, "result_cache_entries": 0}
    return serve_slow("--jobs", str(path), **options).wait_ready()


def call(server, method: str, path: str, **options) -> httpx.Response:
    return httpx.request(method, f"{server.url}{path}", timeout=GENEROUS_S, **options)


def test_cancelling_a_running_job_keeps_its_results(shared):
    with shared.gate.closed():
        job = submit(shared, [10] * 300)["id"]
        shared.gate.let_pass(10)
        wait_for_job(shared, job, lambda state: state["done"] >= 10)
        answer = call(shared, "DELETE", f"/v1/jobs/{job}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        num_done = answer.json()["done"]
        assert 10 <= num_done < 300
    assert call(shared, "POST", "/v1/score", json=grey_request(1)).status_code == 200, "what ran before it is over"
    assert info(shared, job)["done"] == num_done
    job_results = results(shared, job)
    assert [result.number for result in job_results] == list(range(1, num_done + 1))
    assert {result.scored.reward for result in job_results} == {10.0}


def test_a_running_job_reports_progress_and_other_callers_come_first(shared):
    job = submit(shared, [20] * 200)["id"]
    state = wait_for_job(shared, job, lambda state: state["items_per_s"] is not None)
    assert state["state"] == "running"
    assert state["waiting"] == state["total"] - state["done"]
    assert state["eta_s"] == pytest.approx(state["waiting"] / state["items_per_s"])
    gate = shared.gate
    with ThreadPoolExecutor(1) as pool, gate.closed():
        answer = pool.submit(call, shared, "POST", "/v1/score", json=grey_request(10))
        while not answer.done():  # one batch at a time
            passed = gate.batches
            gate.let_pass(1)
            wait_until(lambda passed=passed: answer.done() or gate.batches > passed, "a batch passes")
        assert answer.result().json()["reward"] == 10
        assert info(shared, job)["state"] == "running"
    text = call(shared, "GET", "/metrics").text
    assert float(re.search(r"identity_reward_job_items_waiting (\d\S*)", text)[1]) > 0
    call(shared, "DELETE", f"/v1/jobs/{job}")


def test_a_repeat_with_its_idempotency_key_is_the_same_job(shared):
    first, again = (submit(shared, [1, 2], **{"Idempotency-Key": "once"}) for _ in range(2))
    assert first["id"] == again["id"]
    headers = {**NDJSON, "Idempotency-Key": "once"}
    other = call(shared, "POST", "/v1/jobs", content=manifest([3]), headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    listed = call(shared, "GET", "/v1/jobs", params={"limit": 1}).json()
    assert [job["id"] for job in listed["jobs"]] == [first["id"]]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "message"),
    [
        (manifest([1, 2]) + b"\n{}", NDJSON, 400, "invalid_request", "line 3: references: Field required"),
        (manifest([1], model="gone"), NDJSON, 400, "invalid_request", "line 1: "),
        (b"", NDJSON, 400, "invalid_request", "no items"),
        (manifest([1] * 501), NDJSON, 422, "limit_exceeded", "max_job_items"),
        (manifest([1]), {"Content-Type": "application/json"}, 415, "unsupported_media_type", "application/jsonl"),
        (manifest([1]), {}, 415, "unsupported_media_type", "Content-Type"),
        (b"\x80\x04N.", NDJSON, 400, "invalid_request", "line 1: "),
        (manifest([1]), NDJSON | {"Content-Encoding": "gzip"}, 415, "unsupported_media_type", "compressed"),
    ],
    ids=["a bad line", "no such model", "empty", "too many", "JSON", "no type", "a pickle", "compressed"],
)
def test_a_refused_job_is_not_stored(shared, body, headers, status, code, message):
    before = call(shared, "GET", "/v1/jobs").json()["jobs"]
    answer = call(shared, "POST", "/v1/jobs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert message in answer.json()["error"]["message"]
    after = call(shared, "GET", "/v1/jobs").json()["jobs"]
    assert [job["id"] for job in after] == [job["id"] for job in before]


def test_jsonl_is_taken_under_its_other_content_type(shared):
    headers = {"Content-Type": "application/jsonl; charset=utf-8"}
    answer = call(shared, "POST", "/v1/jobs", content=manifest([5]), headers=headers)
    assert answer.status_code == 202
    wait_for_job(shared, answer.json()["id"])


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=1001", "limit=" + "9" * 400])
def test_malformed_page_queries_are_refused(shared, query):
    job = submit(shared, [1])["id"]
    answer = call(shared, "GET", f"/v1/jobs/{job}/results?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_an_unknown_job_is_not_found(shared):
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/results")):
        answer = call(shared, method, f"/v1/jobs/nothing{tail}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    for path, allowed in (("/v1/jobs", {"GET", "HEAD", "POST"}), ("/v1/jobs/nothing", {"GET", "HEAD", "DELETE"})):
        answer = call(shared, "PUT", path)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_server_without_a_jobs_path_says_so(http):
    answer = http.post("/v1/jobs", content=manifest([1]), headers=NDJSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "jobs_path" in answer.json()["error"]["message"]


def test_the_command_sends_files_waits_and_prints_results(shared, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(portrait("P001")))
    (tmp_path / "clip.mp4").write_bytes(encode_video(panned_portrait("P001")))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    lines = [{"id": name, "references": ["a.jpg"], "video": f"{name}.mp4"} for name in ("clip", "broken")]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def run(*arguments: str):
        return CliRunner().invoke(app, ["job", *arguments, "--url", shared.url])

    sent = run("submit", str(tmp_path / "m.jsonl"), "--wait")
    assert sent.exit_code == 1, "one has no reward"
    job = sent.stdout.split()[0]
    status = f"{job}  done  2 of 2 done, 1 failed\n"
    assert status in sent.stderr
    assert run("status", job).stdout == run("cancel", job).stdout == status
    assert run("list").stdout.startswith(status)
    assert json.loads(run("status", job, "--json").stdout)["total"] == 2
    job_results = {result["id"]: result for result in map(json.loads, run("results", job).stdout.splitlines())}
    assert job_results["broken"]["error"]["code"] == "invalid_media"
    files = ["-r", str(tmp_path / "a.jpg"), str(tmp_path / "clip.mp4")]
    single = CliRunner().invoke(app, ["score", *files, "--url", shared.url, "--json"])
    assert job_results["clip"]["scored"]["reward"] == json.loads(single.stdout)["reward"]
    assert run("results", job, "-o", str(tmp_path / "out.jsonl")).exit_code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    missing = run("status", "nothing")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: no such job of yours")
