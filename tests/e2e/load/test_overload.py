"""More than the server can do: refusals that every client understands, and nothing done for those who have left."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.conftest import grey, grey_body


@pytest.fixture(scope="module")
def small(serve_slow):
    """Room for eight videos, six of them where the call is not a rollout's; batches of two."""
    return serve_slow(max_waiting_tokens=800, max_batch_tokens=200, result_cache_entries=0).wait_ready()


@pytest.fixture
def client(small):
    with httpx.Client(base_url=small.url, timeout=60) as client:
        yield client
        deadline = time.monotonic() + 10
        while waiting(client):
            assert time.monotonic() < deadline, "something still waits"
            time.sleep(0.05)


def waiting(client) -> float:
    text = client.get("/metrics").text
    return sum(map(float, re.findall(r'identity_reward_waiting_tokens\{model="slow",.*\} (\S+)', text)))


def forwards(client) -> float:
    found = re.search(r'identity_reward_batch_tokens_total\{model="slow"\} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0.0


def test_every_answer_is_a_reward_or_a_503_with_an_integer_retry_after(client):
    def ask(number):
        return client.post("/v1/score", json=grey_body(80, number))

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(80)))
    scored = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(scored) >= 6, "three quarters of the room are for calls of this class"
    assert all(answer.json()["reward"] == 80 for answer in scored)
    assert refused
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
        assert answer.json()["error"]["retryable"] is True
        assert re.fullmatch(r"[1-9]\d?", answer.headers["Retry-After"])


def test_a_refusal_comes_before_the_body_is_looked_at(client):
    with ThreadPoolExecutor(12) as pool:
        busy = [pool.submit(client.post, "/v1/score", json=grey_body(200, n)) for n in range(12)]
        while waiting(client) < 500:
            time.sleep(0.01)
        seen = {httpx.post(f"{client.base_url}/v1/score", content=b"{" * 100_000).status_code for _ in range(5)}
        for one in busy:
            one.result()
    assert seen <= {400, 503}


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_leaves_frees_its_place(client, small, leave):
    host, port = small.url.removeprefix("http://").split(":")
    before = forwards(client)
    body = json.dumps(grey_body(250)).encode()
    head = (
        f"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    callers = []
    for _ in range(6):
        one = socket.create_connection((host, int(port)))
        one.sendall(head.encode() + body)
        callers.append(one)
    while waiting(client) < 500:
        time.sleep(0.01)
    for one in callers:
        if leave == "reset":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    left = time.monotonic()
    while waiting(client):
        time.sleep(0.01)
    assert time.monotonic() - left < 0.5, "six take 1.5 s"
    time.sleep(0.6)
    assert forwards(client) - before <= 400, "those in the running batch and the one that was taken after it"


def test_a_deadline_of_the_caller_is_kept(client):
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(client.post, "/v1/score", json=grey_body(250, n)) for n in range(4)]
        while waiting(client) < 400:
            time.sleep(0.01)
        asked = time.monotonic()
        answer = client.post("/v1/score", json=grey_body(1), headers={"X-Request-Timeout": "0.2"})
        took = time.monotonic() - asked
        for one in busy:
            assert one.result().status_code == 200
    assert answer.status_code in (503, 504)
    assert answer.headers["Retry-After"]
    assert took < 0.5


def test_rollouts_overtake_bulk(client):
    with ThreadPoolExecutor(8) as pool:
        bulk = {"X-Priority": "bulk"}
        slow = [pool.submit(client.post, "/v1/score", json=grey_body(250, n), headers=bulk) for n in range(4)]
        while waiting(client) < 400:
            time.sleep(0.01)
        asked = time.monotonic()
        answer = client.post("/v1/score", json=grey_body(2), headers={"X-Priority": "rollout"})
        took = time.monotonic() - asked
        assert answer.status_code == 200
        assert all(one.result().status_code == 200 for one in slow)
    assert took < 0.9, "all before it would take 1 s"


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"X-Priority": "urgent"}, "X-Priority must be one of rollout, interactive, bulk"),
        ({"X-Request-Timeout": "soon"}, "X-Request-Timeout must be a positive number"),
        ({"X-Request-Timeout": "-1"}, "X-Request-Timeout must be a positive number"),
        ({"X-Request-Timeout": "nan"}, "X-Request-Timeout must be a positive number"),
        ({"Idempotency-Key": "x" * 201}, "Idempotency-Key must be"),
    ],
)
def test_headers_that_say_nothing_are_refused(client, headers, says):
    answer = client.post("/v1/score", json=grey_body(1), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert says in answer.json()["error"]["message"]


def test_a_key_is_scored_once_and_stands_for_one_content(client):
    before = forwards(client)
    key = {"Idempotency-Key": "step-7/group-3"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/score", json=grey_body(50), headers=key), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["request_id"] for answer in answers}) == 1
    assert forwards(client) - before == 100
    other = client.post("/v1/score", json=grey_body(51), headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def test_rates_are_429_with_retry_after(serve_slow):
    server = serve_slow(client_videos_per_s=1, client_burst_videos=2).wait_ready()
    with httpx.Client(base_url=server.url) as client:
        answers = [client.post("/v1/score", json=grey_body(1, n)) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "1"
    server.end()


def test_bodies_are_bounded_in_bytes(serve_slow):
    server = serve_slow(max_waiting_bytes=3000, result_cache_entries=0).wait_ready()
    with httpx.Client(base_url=server.url, timeout=30) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: client.post("/v1/score", json=grey_body(200, n)), range(6)))
        assert {answer.status_code for answer in answers} == {200, 503}
        assert "max_waiting_bytes" in next(a.text for a in answers if a.status_code == 503)
        assert "identity_reward_body_bytes 0.0" in client.get("/metrics").text
    server.end()


def test_bodies_that_were_only_announced_hold_nothing(serve_slow):
    server = serve_slow(max_waiting_bytes=3000, result_cache_entries=0).wait_ready()
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2900\r\n\r\n{"
    idlers = [socket.create_connection((host, int(port))) for _ in range(8)]
    for one in idlers:
        one.sendall(head)
    time.sleep(0.2)
    for n in range(3):
        assert httpx.post(f"{server.url}/v1/score", json=grey_body(5, n)).status_code == 200
    for one in idlers:
        one.close()
    server.end()


def test_a_pair_by_hashes_is_answered_from_what_is_known(serve_slow):
    server = serve_slow().wait_ready()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        references = grey_body(1)["references"]
        set_id = client.put("/v1/reference-sets", json={"images": references}).json()["id"]
        group = client.post("/v1/groups", json={"references": references, "videos": [grey(10), grey(20)]}).json()
        a, b = ({"id": item["scored"]["video_id"]} for item in group["items"])
        answer = client.post("/v1/compare", json={"references": set_id, "video_a": a, "video_b": b})
        assert answer.status_code == 200
        assert (answer.json()["a"]["reward"], answer.json()["b"]["reward"]) == (10, 20)
        gone = client.post("/v1/score", json={"references": set_id, "video": {"id": "sha256:" + "0" * 64}})
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "video_not_found")
    server.end()
