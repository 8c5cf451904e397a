"""The shipped nginx configuration in front of two running replicas."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import numpy as np
import pytest

from identity_reward_client.base import SyncRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from service.settings.settings import Settings
from tests.e2e.conftest import grey, grey_body

from .conftest import DEPLOY, MAX_BODY_BYTES, Proxy, free_port, wait_for

ONCE = RetryPolicy(max_attempts=1)
CLIP = np.random.default_rng(0).integers(0, 255, (4, 28, 28, 3), np.uint8)
ROUTE = {"X-Reference-Set": "sha256:" + "1" * 64}


def people(number: int) -> list[np.ndarray]:
    return [np.full((28, 28, 3), number, np.uint8)]


def named(number: int) -> dict[str, str]:
    return {"X-Reference-Set": f"sha256:{sha256(bytes([number])).hexdigest()}"}


def requests(replicas, route: str) -> list[float]:
    return [one.count(f'identity_reward_requests_total{{route="{route}"') for one in replicas]


def gained(replicas, route: str, act) -> list[float]:
    before = requests(replicas, route)
    act()
    return [now - then for now, then in zip(requests(replicas, route), before, strict=True)]


def test_equal_references_meet_the_caches_of_one_replica(proxy, replicas):
    def score():
        with SyncRewardClient(HttpRewardClient(proxy.url, retry=ONCE)) as client:
            for shift in range(6):
                client.score(people(7), CLIP + np.uint8(shift), fps=8, model="tiny")

    hits = 'identity_reward_cache_hits_total{cache="prefixes",model="tiny"}'
    before = sum(one.count(hits) for one in replicas)
    assert sorted(gained(replicas, "/v1/groups:raw", score)) == [0, 6]
    assert sum(one.count(hits) for one in replicas) - before >= 5


def test_other_references_go_to_other_replicas(client, replicas):
    def ask():
        for number in range(40):
            assert client.get("/v1/models", headers=named(number)).status_code == 200

    assert min(gained(replicas, "/v1/models", ask)) >= 8


def test_calls_without_references_go_anywhere(client, replicas):
    def ask():
        for _ in range(40):
            assert client.get("/v1/models").status_code == 200

    assert min(gained(replicas, "/v1/models", ask)) >= 8


def test_sets_are_found_where_they_were_put(proxy, replicas):
    with SyncRewardClient(HttpRewardClient(proxy.url, retry=ONCE)) as client:
        for number in range(8):
            set_id = client.put_references(people(number))
            assert client.score(set_id, CLIP, fps=8, model="tiny").reward
    stored = requests(replicas, "/v1/reference-sets")
    assert min(stored) > 0
    assert sum(one.count('identity_reward_errors_total{code="reference_set_not_found"}') for one in replicas) == 0


def test_a_refusal_reaches_the_caller_with_its_retry_after(client, replicas):
    def ask(number):
        return client.post("/v1/score", json=grey_body(40, number), headers=ROUTE)

    def rush():
        with ThreadPoolExecutor(30) as pool:
            answers.extend(pool.map(ask, range(40)))

    answers: list[httpx.Response] = []
    assert sorted(gained(replicas, "/v1/score", rush))[0] == 0, "the other replica doesn't know the references"
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= 5
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert re.fullmatch(r"[1-9]\d?", answer.headers["Retry-After"])
    assert client.get("/readyz", headers=ROUTE).status_code == 200, "refusals don't count as failures"


def test_bodies_are_streamed_and_not_kept(proxy, replicas):
    body = json.dumps(grey_body(1)).encode() + b" " * (2 << 20)
    head = (
        f"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-Reference-Set: {ROUTE['X-Reference-Set']}\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as caller:
        caller.sendall(head.encode() + body[: 1 << 20])
        wait_for(lambda: sum(one.count("identity_reward_body_bytes") for one in replicas) > (1 << 20) - (1 << 17))
        assert not any((proxy.folder / "nginx-body").iterdir())
        caller.sendall(body[1 << 20 :])
        answer = b"".join(iter(lambda: caller.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reward"] == 1


@pytest.mark.parametrize(
    ("path", "kind", "length", "status"),
    [
        ("/v1/score", "application/json", MAX_BODY_BYTES + 1, 413),
        ("/v1/score", "application/json", 2 * MAX_BODY_BYTES, 413),
        ("/v1/score", "text/plain", MAX_BODY_BYTES - 1, 415),
        ("/v1/models", "application/json", MAX_BODY_BYTES - 1, 405),
        ("/nothing", "application/json", MAX_BODY_BYTES - 1, 404),
    ],
)
def test_bodies_that_are_refused_unread_leave_the_replica_in_the_upstream(client, path, kind, length, status):
    for number in range(8):
        answer = client.post(path, content=b" " * length, headers={"Content-Type": kind} | named(number))
        assert (answer.status_code, answer.json()["error"]["retryable"]) == (status, False)


def test_a_caller_that_leaves_frees_its_place(proxy, replicas):
    def waiting() -> float:
        return sum(one.count('identity_reward_waiting_tokens{model="slow"') for one in replicas)

    body = json.dumps(grey_body(250)).encode()
    head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head += f"X-Reference-Set: {ROUTE['X-Reference-Set']}\r\n\r\n"
    callers = [socket.create_connection(("127.0.0.1", proxy.http_port)) for _ in range(6)]
    for one in callers:
        one.sendall(head.encode() + body)
    wait_for(lambda: waiting() >= 600)
    left = time.monotonic()
    for one in callers:
        one.close()
    wait_for(lambda: not waiting())
    assert time.monotonic() - left < 1, "six take 1.5 s"


def test_request_ids_are_kept_or_made_and_logged(client, proxy):
    given = client.get("/v1/models", headers={"X-Request-Id": "step-7.3"})
    made = client.get("/v1/models")
    assert given.headers["X-Request-Id"] == "step-7.3"
    log = proxy.folder / "access.log"
    wait_for(lambda: made.headers["X-Request-Id"] in log.read_text())
    assert re.search(r'"GET /v1/models HTTP/1.1" 200 \d+ [\d.]+ 127.0.0.1:\d+ step-7.3\n', log.read_text())


def test_shares_are_those_of_the_callers_not_of_the_proxy(proxy):
    def ask(address: str, **headers) -> int:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
            body = {"references": grey_body(0)["references"], "videos": [grey(0, n) for n in range(8)]}
            return client.post(f"{proxy.url}/v1/groups", json=body, headers=ROUTE | headers).status_code

    wait_for(lambda: ask("127.0.0.3") == 429)
    assert ask("127.0.0.3", **{"X-Forwarded-For": "127.0.0.9"}) == 429
    assert ask("127.0.0.4") == 200


def test_metrics_are_not_those_of_one_replica_by_chance(client):
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_job_is_found_whatever_its_callers_send_beside(client, replicas):
    def ask():
        sent = client.post(
            "/v1/jobs", content=json.dumps(grey_body(5)), headers={"Content-Type": "application/x-ndjson", **named(1)}
        )
        assert sent.status_code == 202
        for number in range(12):
            job = client.get(f"/v1/jobs/{sent.json()['id']}", headers=named(number))
            assert job.status_code == 200

    assert gained(replicas, "/v1/jobs/{id}", ask) == [12, 0]


def test_a_dead_replicas_calls_go_to_the_other_and_come_back(proxy, replicas):
    def scored(count: int) -> None:
        with SyncRewardClient(HttpRewardClient(proxy.url, retry=ONCE)) as client:
            for _ in range(count):
                assert client.score(people(7), CLIP, fps=8, model="tiny").reward

    share = gained(replicas, "/v1/groups:raw", lambda: scored(2))
    home, other = replicas if share[0] else reversed(replicas)
    home.kill()
    assert gained([other], "/v1/groups:raw", lambda: scored(4)) == [4]
    home.launch()
    home.wait_ready()
    wait_for(lambda: scored(1) or requests([home], "/v1/groups:raw")[0] > 0)
    assert gained(replicas, "/v1/groups:raw", lambda: scored(3))[replicas.index(home)] == 3


def test_where_no_replica_answers_callers_are_told_to_come_back(tmp_path):
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    proxy = Proxy(tmp_path, nobody, nobody)
    try:
        for _ in range(3):  # also when both are already left out
            answer = httpx.post(f"{proxy.url}/v1/score", json=grey_body(1), headers={"X-Request-Id": "mine"})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
            error = answer.json()["error"]
            assert (error["code"], error["retryable"]) == ("not_ready", True)
            assert answer.headers["X-Request-Id"] == "mine"
    finally:
        proxy.end()


def test_limits_of_the_proxy_fit_those_of_the_service():
    text, settings = (DEPLOY / "nginx/nginx.conf").read_text(), Settings()
    for name in ("proxy_read_timeout", "grpc_read_timeout"):
        assert int(re.search(rf"{name} (\d+)s;", text)[1]) > settings.requests.request_timeout_s
    assert int(re.search(r"client_max_body_size (\d+)m;", text)[1]) << 20 == settings.requests.max_body_bytes
