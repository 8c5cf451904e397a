"""Jobs of a real server, which is killed, stopped and filled up: every item has one right result."""

import json
import os
import re
import signal
import time

import httpx
import pytest
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from identity_reward_client.wire.job_messages import JobResult
from tests.e2e.conftest import ServeProcess, b64, grey, grey_body, jpeg, mp4, pan
from tests.e2e.conftest import face as portrait
from tests.support.small_disk import small_disk

NDJSON = {"Content-Type": "application/x-ndjson"}


def manifest(levels, **more) -> bytes:
    """A line a level; its reward is the level, its time as many milliseconds."""
    reference = grey_body(0)["references"]
    lines = (
        {"id": f"i{n}", "references": reference, "video": grey(level, n), **more} for n, level in enumerate(levels)
    )
    return "\n".join(map(json.dumps, lines)).encode()


def submit(server: ServeProcess, levels, **headers) -> dict:
    answer = httpx.post(f"{server.url}/v1/jobs", content=manifest(levels), headers=NDJSON | headers, timeout=60)
    assert answer.status_code == 202, answer.text
    return answer.json()


def info(server: ServeProcess, job: str) -> dict:
    answer = httpx.get(f"{server.url}/v1/jobs/{job}", timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait(server: ServeProcess, job: str, condition=lambda now: now["state"] == "done", timeout_s=60) -> dict:
    deadline = time.monotonic() + timeout_s
    while not condition(now := info(server, job)):
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def results(server: ServeProcess, job: str, limit=1000) -> list[JobResult]:
    """All pages of them, joined."""
    found: list[JobResult] = []
    while True:
        after = found[-1].number if found else 0
        answer = httpx.get(f"{server.url}/v1/jobs/{job}/results", params={"after": after, "limit": limit}, timeout=20)
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = [JobResult.model_validate_json(line) for line in answer.text.splitlines()]
        found += lines
        if not lines:
            return found


def rewards(found: list[JobResult]) -> list[tuple[str, float]]:
    return sorted((one.id, one.scored.reward) for one in found)


def expected(levels) -> list[tuple[str, float]]:
    return sorted((f"i{n}", float(level)) for n, level in enumerate(levels))


def kill(server: ServeProcess) -> None:
    for one in [server.process, *server.family]:
        if one.is_running():
            one.kill()
    server.wait()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite"


@pytest.fixture(scope="module")
def shared(serve_slow, tmp_path_factory):
    path = tmp_path_factory.mktemp("jobs") / "jobs.sqlite"
    return serve_slow("--jobs", str(path), max_job_items=500, result_cache_entries=0).wait_ready()


def test_killed_in_the_middle_of_a_job_nothing_is_lost_or_scored_to_two_results(serve_slow, path):
    levels = [10 + n % 10 for n in range(200)]
    server = serve_slow(jobs_path=path, result_cache_entries=0).wait_ready()
    job = submit(server, levels)["id"]
    seen: list[JobResult] = []
    for share in (40, 120):
        wait(server, job, lambda now, share=share: now["done"] >= share)
        seen = results(server, job)
        kill(server)
        server = serve_slow(jobs_path=path, result_cache_entries=0).wait_ready()
        assert results(server, job)[: len(seen)] == seen, "what was read before stands"
    assert len(seen) < 200
    done = wait(server, job)
    assert (done["done"], done["failed"], done["waiting"]) == (200, 0, 0)
    found = results(server, job, limit=7)
    assert [one.number for one in found] == list(range(1, 201))
    assert rewards(found) == expected(levels)
    server.end()


def test_stopped_in_the_middle_of_a_job_it_goes_on_in_the_next_server(serve_slow, path):
    levels = [20] * 100
    server = serve_slow(jobs_path=path, result_cache_entries=0).wait_ready()
    job = submit(server, levels)["id"]
    done = wait(server, job, lambda now: now["done"] >= 20)["done"]
    asked = time.monotonic()
    assert server.end(signal.SIGTERM) == 0
    assert time.monotonic() - asked < 5, "the drain waits for what runs, not for the job"
    assert "".join(server.err) == ""
    server = serve_slow(jobs_path=path, result_cache_entries=0).wait_ready()
    assert done <= info(server, job)["done"] <= 100
    wait(server, job)
    assert rewards(results(server, job)) == expected(levels)
    server.end()


def test_on_a_full_disk_jobs_are_refused_or_pause_and_scoring_goes_on(serve_slow, tmp_path):
    levels = [20] * 100
    with small_disk(tmp_path / "disk", 8) as disk:
        server = serve_slow(jobs_path=disk.folder / "jobs.sqlite", result_cache_entries=0).wait_ready()
        job = submit(server, levels)["id"]
        wait(server, job, lambda now: now["done"] >= 5)
        disk.fill()
        large = json.dumps({"references": grey_body(0)["references"], "video": {"data": b64(os.urandom(9 << 20))}})
        answer = httpx.post(f"{server.url}/v1/jobs", content=large, headers=NDJSON, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_full")
        assert answer.json()["error"]["retryable"] is True
        assert int(answer.headers["Retry-After"]) >= 1

        def held_up(now: dict) -> bool:
            disk.fill()  # also what the server's log gives back
            return now["held_up"] is not None

        now = wait(server, job, held_up)
        assert now["held_up"]["code"] == "storage_full"
        assert now["done"] < 100
        assert httpx.post(f"{server.url}/v1/score", json=grey_body(30), timeout=20).json()["reward"] == 30
        disk.free()
        wait(server, job)
        assert rewards(results(server, job)) == expected(levels)
        assert server.end() == 0


@pytest.mark.slow
def test_an_item_that_brings_the_server_down_fails_after_three_servers(serve_slow, path):
    """Level 255 loses the device."""
    server = serve_slow(jobs_path=path, max_running_job_items=1, result_cache_entries=0).wait_ready()
    job = submit(server, [30, 255, 40])["id"]
    assert server.wait(30) == 1
    for _ in range(2):  # it dies as soon as it has started
        assert serve_slow(jobs_path=path, max_running_job_items=1, result_cache_entries=0).wait(60) == 1
    server = serve_slow(jobs_path=path, max_running_job_items=1, result_cache_entries=0).wait_ready()
    done = wait(server, job)
    assert (done["done"], done["failed"]) == (3, 1)
    found = {one.id: one for one in results(server, job)}
    assert found["i1"].error.code == "scoring_failed"
    assert (found["i0"].scored.reward, found["i2"].scored.reward) == (30, 40)
    server.end()


def test_cancelled_in_the_middle(shared):
    job = submit(shared, [20] * 300)["id"]
    wait(shared, job, lambda now: now["done"] >= 10)
    answer = httpx.delete(f"{shared.url}/v1/jobs/{job}", timeout=20)
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    done = answer.json()["done"]
    assert 10 <= done < 300
    time.sleep(0.3)
    assert info(shared, job)["done"] == done
    found = results(shared, job)
    assert [one.number for one in found] == list(range(1, done + 1))
    assert {one.scored.reward for one in found} == {20.0}


def test_progress_is_told_while_it_runs_and_other_callers_come_first(shared):
    job = submit(shared, [20] * 200)["id"]
    now = wait(shared, job, lambda now: now["items_per_s"] is not None)
    assert now["state"] == "running"
    assert now["waiting"] == now["total"] - now["done"]
    assert now["eta_s"] == pytest.approx(now["waiting"] / now["items_per_s"])
    asked = time.monotonic()
    assert httpx.post(f"{shared.url}/v1/score", json=grey_body(10), timeout=20).json()["reward"] == 10
    assert time.monotonic() - asked < 1.5
    text = httpx.get(f"{shared.url}/metrics", timeout=20).text
    assert float(re.search(r"identity_reward_job_items_waiting (\d\S*)", text)[1]) > 0
    httpx.delete(f"{shared.url}/v1/jobs/{job}", timeout=20)


def test_a_repeat_with_its_key_is_the_same_job(shared):
    first, again = (submit(shared, [1, 2], **{"Idempotency-Key": "once"}) for _ in range(2))
    assert first["id"] == again["id"]
    other = httpx.post(
        f"{shared.url}/v1/jobs", content=manifest([3]), headers={**NDJSON, "Idempotency-Key": "once"}, timeout=20
    )
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    listed = httpx.get(f"{shared.url}/v1/jobs", params={"limit": 1}, timeout=20).json()
    assert [one["id"] for one in listed["jobs"]] == [first["id"]]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "says"),
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
def test_refusals_keep_nothing(shared, body, headers, status, code, says):
    before = httpx.get(f"{shared.url}/v1/jobs", timeout=20).json()["jobs"]
    answer = httpx.post(f"{shared.url}/v1/jobs", content=body, headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert says in answer.json()["error"]["message"]
    after = httpx.get(f"{shared.url}/v1/jobs", timeout=20).json()["jobs"]
    assert [one["id"] for one in after] == [one["id"] for one in before]


def test_jsonl_is_taken_under_its_other_name(shared):
    headers = {"Content-Type": "application/jsonl; charset=utf-8"}
    answer = httpx.post(f"{shared.url}/v1/jobs", content=manifest([5]), headers=headers, timeout=20)
    assert answer.status_code == 202
    wait(shared, answer.json()["id"])


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=1001", "limit=" + "9" * 400])
def test_bad_pages_are_refused(shared, query):
    job = submit(shared, [1])["id"]
    answer = httpx.get(f"{shared.url}/v1/jobs/{job}/results?{query}", timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_a_job_that_is_not_there(shared):
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/results")):
        answer = httpx.request(method, f"{shared.url}/v1/jobs/nothing{tail}", timeout=20)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    for path, allowed in (("/v1/jobs", {"GET", "HEAD", "POST"}), ("/v1/jobs/nothing", {"GET", "HEAD", "DELETE"})):
        answer = httpx.put(f"{shared.url}{path}", timeout=20)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_server_without_a_place_for_jobs_says_so(http):
    answer = http.post("/v1/jobs", content=manifest([1]), headers=NDJSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "jobs_path" in answer.json()["error"]["message"]


def test_a_second_server_on_the_same_file_does_not_start(serve_slow, shared):
    file = next(
        one.path for process in shared.family for one in process.open_files() if one.path.endswith("jobs.sqlite")
    )
    other = serve_slow(jobs_path=file)
    assert other.wait(60) == 1
    assert other.err[-1] == (
        "identity-reward serve: the server could not start: another server keeps its jobs in "
        f"{file}; each needs a file of its own\n"
    )


def test_the_command_sends_files_waits_and_prints_results(shared, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait("P001")))
    (tmp_path / "clip.mp4").write_bytes(mp4(pan("P001")))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    lines = [{"id": name, "references": ["a.jpg"], "video": f"{name}.mp4"} for name in ("clip", "broken")]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def run(*arguments: str):
        return CliRunner().invoke(app, ["job", *arguments, "--url", shared.url])

    sent = run("submit", str(tmp_path / "m.jsonl"), "--wait")
    assert sent.exit_code == 1, "one has no reward"
    job = sent.stdout.split()[0]
    said = f"{job}  done  2 of 2 done, 1 failed\n"
    assert said in sent.stderr
    assert run("status", job).stdout == run("cancel", job).stdout == said
    assert run("list").stdout.startswith(said)
    assert json.loads(run("status", job, "--json").stdout)["total"] == 2
    found = {one["id"]: one for one in map(json.loads, run("results", job).stdout.splitlines())}
    assert found["broken"]["error"]["code"] == "invalid_media"
    files = ["-r", str(tmp_path / "a.jpg"), str(tmp_path / "clip.mp4")]
    single = CliRunner().invoke(app, ["score", *files, "--url", shared.url, "--json"])
    assert found["clip"]["scored"]["reward"] == json.loads(single.stdout)["reward"]
    assert run("results", job, "-o", str(tmp_path / "out.jsonl")).exit_code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    gone = run("status", "nothing")
    assert gone.exit_code == 1
    assert gone.stderr.startswith("error: no such job of yours")
