"""More requests than the server can take: refusals that every client understands, and no work for callers that left."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.connections import open_connection, reset
from tests.support.grey_videos import grey_request, grey_video
from tests.support.metrics import metric
from tests.support.waiting import GENEROUS_S, wait_until


@pytest.fixture
def client(slow_server):
    """Six of the eight videos that the server takes may be those of calls that are no rollouts; batches hold two."""
    with httpx.Client(base_url=slow_server.url, timeout=GENEROUS_S) as client:
        yield client
        wait_until(lambda: not waiting_tokens(slow_server), "nothing waits")


def waiting_tokens(server) -> float:
    return metric(server.url, "waiting_tokens")


def scored_tokens(server) -> float:
    return metric(server.url, "batch_tokens_total")


def test_every_answer_is_a_reward_or_a_503_with_an_integer_retry_after(client):
    def ask(number):
        return client.post("/v1/score", json=grey_request(80, number))

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(80)))
    scored = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(scored) >= 6, "three quarters of the capacity are for calls of this class"
    assert all(answer.json()["reward"] == 80 for answer in scored)
    assert refused
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
        assert answer.json()["error"]["retryable"] is True
        assert re.fullmatch(r"[1-9]\d?", answer.headers["Retry-After"])


def test_a_refusal_comes_before_the_body_is_parsed(client, slow_server):
    with ThreadPoolExecutor(12) as pool:
        with slow_server.gate.closed():
            calls = [pool.submit(client.post, "/v1/score", json=grey_request(20, n)) for n in range(12)]
            wait_until(lambda: waiting_tokens(slow_server) >= 500, "the server is full")
            malformed = b"{" * 100_000
            statuses = {
                httpx.post(f"{slow_server.url}/v1/score", content=malformed, timeout=GENEROUS_S).status_code
                for _ in range(5)
            }
        for call in calls:
            call.result()
    assert statuses <= {400, 503}


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_caller_that_disconnects_releases_its_capacity(client, slow_server, leave):
    before = scored_tokens(slow_server)
    body = json.dumps(grey_request(50)).encode()
    head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with slow_server.gate.closed():
        callers = [open_connection(slow_server.url) for _ in range(6)]
        for caller in callers:
            caller.sendall(f"{head}\r\n\r\n".encode() + body)
        wait_until(lambda: waiting_tokens(slow_server) >= 600, "all six are admitted")
        slow_server.gate.wait_for_batch()
        for caller in callers:
            if leave == "reset":
                reset(caller)
            caller.close()
        wait_until(lambda: not waiting_tokens(slow_server), "their capacity is free while the model is still busy")
    assert client.post("/v1/score", json=grey_request(1)).status_code == 200
    assert scored_tokens(slow_server) - before <= 300, "those in the running batch and the last one"


def test_the_callers_deadline_is_kept(client, slow_server):
    with ThreadPoolExecutor(4) as pool:
        with slow_server.gate.closed():
            calls = [pool.submit(client.post, "/v1/score", json=grey_request(50, n)) for n in range(4)]
            wait_until(lambda: waiting_tokens(slow_server) == 400, "four are admitted")
            # answered although the model is held up for as long as the test waits
            answer = client.post("/v1/score", json=grey_request(1), headers={"X-Request-Timeout": "0.2"})
        for call in calls:
            assert call.result().status_code == 200
    assert answer.status_code in (503, 504)
    assert answer.headers["Retry-After"]


def test_rollouts_overtake_bulk(client, slow_server):
    gate = slow_server.gate
    with ThreadPoolExecutor(8) as pool, gate.closed():
        bulk = [
            pool.submit(client.post, "/v1/score", json=grey_request(50, n), headers={"X-Priority": "bulk"})
            for n in range(4)
        ]
        gate.wait_for_batch()
        wait_until(lambda: waiting_tokens(slow_server) == 400, "four are admitted")
        rollout = pool.submit(client.post, "/v1/score", json=grey_request(2), headers={"X-Priority": "rollout"})
        wait_until(lambda: gate.preprocessed_since_closed == 5, "all are prepared")
        gate.let_pass(2)  # the batch that waits, and the one after it
        assert rollout.result().status_code == 200
        assert not all(call.done() for call in bulk), "the rollout came before the last of them"
        gate.open()
        assert all(call.result().status_code == 200 for call in bulk)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X-Priority": "urgent"}, "X-Priority must be one of rollout, interactive, bulk"),
        ({"X-Request-Timeout": "soon"}, "X-Request-Timeout must be a positive number"),
        ({"X-Request-Timeout": "-1"}, "X-Request-Timeout must be a positive number"),
        ({"X-Request-Timeout": "nan"}, "X-Request-Timeout must be a positive number"),
        ({"Idempotency-Key": "x" * 201}, "Idempotency-Key must be"),
    ],
)
def test_malformed_headers_are_refused(client, headers, message):
    answer = client.post("/v1/score", json=grey_request(1), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert message in answer.json()["error"]["message"]


def test_an_idempotency_key_is_scored_once_and_refused_for_other_content(client, slow_server):
    before = scored_tokens(slow_server)
    key = {"Idempotency-Key": "step-7/group-3"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/score", json=grey_request(50), headers=key), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["request_id"] for answer in answers}) == 1
    assert scored_tokens(slow_server) - before == 100
    other = client.post("/v1/score", json=grey_request(51), headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def test_a_callers_rate_limit_is_429_with_retry_after(serve_slow):
    # a hundredth of a video a second: no machine is so slow that the third finds its share refilled
    server = serve_slow(client_videos_per_s=0.01, client_burst_videos=2).wait_ready()
    started = time.monotonic()
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as client:
        answers = [client.post("/v1/score", json=grey_request(1, n)) for n in range(3)]
    elapsed_s = time.monotonic() - started
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 100 - elapsed_s <= int(answers[2].headers["Retry-After"]) <= 100, "a video each 100 s"
    server.end()


def test_bodies_in_memory_are_limited_in_bytes(serve_slow):
    server = serve_slow(max_waiting_bytes=3000, result_cache_entries=0).wait_ready()
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as client, ThreadPoolExecutor(6) as pool:
        with server.gate.closed():
            calls = [pool.submit(client.post, "/v1/score", json=grey_request(20, n)) for n in range(6)]
            wait_until(lambda: any(call.done() for call in calls), "one is refused")
        answers = [call.result() for call in calls]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert "max_waiting_bytes" in next(answer.text for answer in answers if answer.status_code == 503)
        assert "identity_reward_body_bytes 0.0" in client.get("/metrics").text
        check_announced_bodies(server)
    server.end()


def check_announced_bodies(server) -> None:
    """Bodies that were announced but not sent hold none of the 3,000 bytes."""
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2900\r\n\r\n{"
    idle = [open_connection(server.url) for _ in range(8)]
    for connection in idle:
        connection.sendall(head)
    wait_until(lambda: metric(server.url, "body_bytes") == 8, "the first byte of each has come")
    for n in range(3):
        answer = httpx.post(f"{server.url}/v1/score", json=grey_request(5, n), timeout=GENEROUS_S)
        assert answer.status_code == 200
    for connection in idle:
        connection.close()


def test_a_pair_by_content_ids_is_answered_from_cached_results(serve_slow):
    server = serve_slow().wait_ready()
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as client:
        references = grey_request(1)["references"]
        set_id = client.put("/v1/reference-sets", json={"images": references}).json()["id"]
        videos = [grey_video(10), grey_video(20)]
        group = client.post("/v1/groups", json={"references": references, "videos": videos}).json()
        a, b = ({"id": item["scored"]["video_id"]} for item in group["items"])
        answer = client.post("/v1/compare", json={"references": set_id, "video_a": a, "video_b": b})
        assert answer.status_code == 200
        assert (answer.json()["a"]["reward"], answer.json()["b"]["reward"]) == (10, 20)
        missing = client.post("/v1/score", json={"references": set_id, "video": {"id": "sha256:" + "0" * 64}})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "video_not_found")
    server.end()
