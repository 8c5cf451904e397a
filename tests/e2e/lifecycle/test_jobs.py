"""Jobs of a server that is killed, stopped and filled up: every item has one right result."""

import json
import os
import signal

import httpx
import pytest

from identity_reward_client.wire.job_messages import JobResult
from tests.e2e.job_calls import NDJSON, expected_rewards, info, results, rewards, submit, wait_for_job
from tests.support.grey_videos import grey_request
from tests.support.media import b64
from tests.support.server import SlowServer
from tests.support.small_disk import small_disk
from tests.support.waiting import GENEROUS_S


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite"


def start(serve_slow, path, gate_closed: bool = False) -> SlowServer:
    """A server with jobs, which scores one video at a time."""
    server = serve_slow(jobs_path=path, max_batch_tokens=100, result_cache_entries=0)
    if gate_closed:
        server.gate.close()
    return server.wait_ready()


def test_a_job_whose_server_is_killed_loses_no_item_and_scores_none_to_two_results(serve_slow, path):
    levels = [10 + n % 10 for n in range(200)]
    server = start(serve_slow, path, gate_closed=True)
    job = submit(server, levels)["id"]
    seen: list[JobResult] = []
    for share in (40, 120):
        server.gate.let_pass(share - len(seen))
        wait_for_job(server, job, lambda state, share=share: state["done"] >= share)
        seen = results(server, job)
        server.kill()
        server = start(serve_slow, path, gate_closed=True)
        assert results(server, job)[: len(seen)] == seen, "what was read before stands"
    assert len(seen) < 200
    server.gate.open()
    state = wait_for_job(server, job)
    assert (state["done"], state["failed"], state["waiting"]) == (200, 0, 0)
    job_results = results(server, job, limit=7)
    assert [result.number for result in job_results] == list(range(1, 201))
    assert rewards(job_results) == expected_rewards(levels)
    server.end()


def test_a_job_whose_server_stops_goes_on_in_the_next_server(serve_slow, path):
    levels = [20] * 100
    server = start(serve_slow, path, gate_closed=True)
    job = submit(server, levels)["id"]
    server.gate.let_pass(20)
    num_done = wait_for_job(server, job, lambda state: state["done"] >= 20)["done"]
    server.process.send_signal(signal.SIGTERM)
    server.gate.open()
    assert server.wait() == 0
    assert "".join(server.err) == ""
    server = start(serve_slow, path, gate_closed=True)
    assert num_done <= info(server, job)["done"] < 100, "the drain waits for what runs, not for the job"
    server.gate.open()
    wait_for_job(server, job)
    assert rewards(results(server, job)) == expected_rewards(levels)
    server.end()


def test_on_a_full_disk_jobs_are_refused_or_pause_and_scoring_goes_on(serve_slow, tmp_path):
    levels = [20] * 100
    with small_disk(tmp_path / "disk", 8) as disk:
        server = start(serve_slow, disk.folder / "jobs.sqlite", gate_closed=True)
        job = submit(server, levels)["id"]
        server.gate.let_pass(5)
        wait_for_job(server, job, lambda state: state["done"] >= 5)
        disk.fill()
        large = json.dumps({"references": grey_request(0)["references"], "video": {"data": b64(os.urandom(9 << 20))}})
        answer = httpx.post(f"{server.url}/v1/jobs", content=large, headers=NDJSON, timeout=GENEROUS_S)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_full")
        assert answer.json()["error"]["retryable"] is True
        assert int(answer.headers["Retry-After"]) >= 1
        server.gate.open()

        def held_up(state: dict) -> bool:
            disk.fill()  # also what the server's log gives back
            return state["held_up"] is not None

        state = wait_for_job(server, job, held_up)
        assert state["held_up"]["code"] == "storage_full"
        assert state["done"] < 100
        answer = httpx.post(f"{server.url}/v1/score", json=grey_request(30), timeout=GENEROUS_S)
        assert answer.json()["reward"] == 30
        disk.free()
        wait_for_job(server, job)
        assert rewards(results(server, job)) == expected_rewards(levels)
        assert server.end() == 0


@pytest.mark.slow
def test_an_item_that_brings_the_server_down_fails_after_three_servers(serve_slow, path):
    """Level 255 loses the device."""
    options = {"jobs_path": path, "max_running_job_items": 1, "result_cache_entries": 0}
    server = serve_slow(**options).wait_ready()
    job = submit(server, [30, 255, 40])["id"]
    assert server.wait() == 1
    for _ in range(2):  # it dies as soon as it has started
        assert serve_slow(**options).wait() == 1
    server = serve_slow(**options).wait_ready()
    state = wait_for_job(server, job)
    assert (state["done"], state["failed"]) == (3, 1)
    job_results = {result.id: result for result in results(server, job)}
    assert job_results["i1"].error.code == "scoring_failed"
    assert (job_results["i0"].scored.reward, job_results["i2"].scored.reward) == (30, 40)
    server.end()


def test_a_second_server_on_the_same_file_does_not_start(serve_slow, path):
    first = start(serve_slow, path)
    second = serve_slow(jobs_path=path)
    assert second.wait() == 1
    assert second.err[-1] == (
        "identity-reward serve: the server could not start: another server keeps its jobs in "
        f"{path}; each needs a file of its own\n"
    )
    first.end()
