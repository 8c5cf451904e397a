"""The shipped nginx configuration in front of two running replicas."""

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256

import httpx
import numpy as np
import pytest

from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from service.settings.settings import Settings
from tests.support.connections import open_connection
from tests.support.grey_videos import grey_request, grey_video
from tests.support.ports import free_port
from tests.support.waiting import GENEROUS_S, wait_until

from .conftest import DEPLOY, MAX_BODY_BYTES, Proxy

ONCE = RetryPolicy(max_attempts=1)
CLIP = np.random.default_rng(0).integers(0, 255, (4, 28, 28, 3), np.uint8)
ROUTE = {"X-Reference-Set": "sha256:" + "1" * 64}


def people(number: int) -> list[np.ndarray]:
    return [np.full((28, 28, 3), number, np.uint8)]


def total(replicas, sample: str) -> float:
    return sum(replica.count(sample) for replica in replicas)


def named(number: int) -> dict[str, str]:
    return {"X-Reference-Set": f"sha256:{sha256(bytes([number])).hexdigest()}"}


def requests(replicas, route: str) -> list[float]:
    return [replica.count(f'identity_reward_requests_total{{route="{route}"') for replica in replicas]


def requests_during(replicas, route: str, act) -> list[float]:
    """How many requests of a route each replica answers while `act` runs."""
    before = requests(replicas, route)
    act()
    return [now - then for now, then in zip(requests(replicas, route), before, strict=True)]


def test_equal_references_go_to_one_replica_and_its_caches(proxy, replicas):
    def score():
        with SyncRewardClient(HttpRewardClient(proxy.url, retry=ONCE)) as client:
            for shift in range(6):
                client.score(people(7), CLIP + np.uint8(shift), fps=8, model="tiny")

    hits = 'identity_reward_cache_hits_total{cache="prefixes",model="tiny"}'
    before = sum(replica.count(hits) for replica in replicas)
    assert sorted(requests_during(replicas, "/v1/groups:raw", score)) == [0, 6]
    assert sum(replica.count(hits) for replica in replicas) - before >= 5


def test_other_references_go_to_other_replicas(client, replicas):
    def ask():
        for number in range(40):
            assert client.get("/v1/models", headers=named(number)).status_code == 200

    assert min(requests_during(replicas, "/v1/models", ask)) >= 8


def test_calls_without_references_go_anywhere(client, replicas):
    def ask():
        for _ in range(40):
            assert client.get("/v1/models").status_code == 200

    assert min(requests_during(replicas, "/v1/models", ask)) >= 8


def test_reference_sets_are_found_where_they_were_stored(proxy, replicas):
    with SyncRewardClient(HttpRewardClient(proxy.url, retry=ONCE)) as client:
        for number in range(8):
            set_id = client.put_references(people(number))
            assert client.score(set_id, CLIP, fps=8, model="tiny").reward
    stored = requests(replicas, "/v1/reference-sets")
    assert min(stored) > 0
    assert (
        sum(replica.count('identity_reward_errors_total{code="reference_set_not_found"}') for replica in replicas) == 0
    )


def test_a_refusal_reaches_the_caller_with_its_retry_after(client, replicas):
    def ask(number):
        return client.post("/v1/score", json=grey_request(40, number), headers=ROUTE)

    def rush():
        with ThreadPoolExecutor(30) as pool:
            answers.extend(pool.map(ask, range(40)))

    answers: list[httpx.Response] = []
    assert sorted(requests_during(replicas, "/v1/score", rush))[0] == 0, "the other replica doesn't know the references"
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= 5
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert re.fullmatch(r"[1-9]\d?", answer.headers["Retry-After"])
    assert client.get("/readyz", headers=ROUTE).status_code == 200, "refusals don't count as failures"


def test_bodies_are_streamed_and_not_kept(proxy, replicas):
    body = json.dumps(grey_request(1)).encode() + b" " * (2 << 20)
    head = (
        f"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-Reference-Set: {ROUTE['X-Reference-Set']}\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as caller:
        caller.sendall(head.encode() + body[: 1 << 20])
        wait_until(lambda: total(replicas, "identity_reward_body_bytes") > (1 << 20) - (1 << 17), "a replica reads it")
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


def test_a_caller_that_disconnects_releases_its_capacity(proxy, replicas):
    def waiting() -> float:
        return total(replicas, 'identity_reward_waiting_tokens{model="slow"')

    body = json.dumps(grey_request(50)).encode()
    head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head += f"X-Reference-Set: {ROUTE['X-Reference-Set']}\r\n\r\n"
    with ExitStack() as gates:
        for replica in replicas:
            gates.enter_context(replica.server.gate.closed())
        callers = [open_connection(proxy.url) for _ in range(6)]
        for caller in callers:
            caller.sendall(head.encode() + body)
        wait_until(lambda: waiting() >= 600, "all six are accepted")
        for caller in callers:
            caller.close()
        wait_until(lambda: not waiting(), "their capacity is free while the model is still busy")


def test_request_ids_are_kept_or_made_and_logged(client, proxy):
    response = client.get("/v1/models", headers={"X-Request-Id": "step-7.3"})
    made = client.get("/v1/models")
    assert response.headers["X-Request-Id"] == "step-7.3"
    log = proxy.folder / "access.log"
    wait_until(lambda: made.headers["X-Request-Id"] in log.read_text(), "the request is logged")
    assert re.search(r'"GET /v1/models HTTP/1.1" 200 \d+ [\d.]+ 127.0.0.1:\d+ step-7.3\n', log.read_text())


def test_shares_are_those_of_the_callers_not_of_the_proxy(proxy):
    def ask(address: str, **headers) -> int:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=GENEROUS_S) as client:
            body = {"references": grey_request(0)["references"], "videos": [grey_video(0, n) for n in range(8)]}
            return client.post(f"{proxy.url}/v1/groups", json=body, headers=ROUTE | headers).status_code

    wait_until(lambda: ask("127.0.0.3") == 429, "its share is used up")
    assert ask("127.0.0.3", **{"X-Forwarded-For": "127.0.0.9"}) == 429
    assert ask("127.0.0.4") == 200


def test_metrics_of_a_replica_are_not_served_through_the_proxy(client):
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_job_is_found_under_any_reference_set_header(client, replicas):
    def ask():
        sent = client.post(
            "/v1/jobs",
            content=json.dumps(grey_request(5)),
            headers={"Content-Type": "application/x-ndjson", **named(1)},
        )
        assert sent.status_code == 202
        for number in range(12):
            job = client.get(f"/v1/jobs/{sent.json()['id']}", headers=named(number))
            assert job.status_code == 200

    assert requests_during(replicas, "/v1/jobs/{id}", ask) == [12, 0]


def test_calls_of_a_dead_replica_go_to_the_other_until_it_is_back(proxy, replicas):
    def scored(count: int) -> None:
        with SyncRewardClient(HttpRewardClient(proxy.url, retry=ONCE)) as client:
            for _ in range(count):
                assert client.score(people(7), CLIP, fps=8, model="tiny").reward

    share = requests_during(replicas, "/v1/groups:raw", lambda: scored(2))
    home, other = replicas if share[0] else reversed(replicas)
    home.kill()
    assert requests_during([other], "/v1/groups:raw", lambda: scored(4)) == [4]
    home.launch()
    home.wait_ready()
    wait_until(lambda: scored(1) or requests([home], "/v1/groups:raw")[0] > 0, "the replica is used again")
    assert requests_during(replicas, "/v1/groups:raw", lambda: scored(3))[replicas.index(home)] == 3


def test_calls_without_an_available_replica_are_retryable(tmp_path):
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    proxy = Proxy(tmp_path, nobody, nobody)
    try:
        for _ in range(3):  # also when both are already left out
            answer = httpx.post(
                f"{proxy.url}/v1/score", json=grey_request(1), headers={"X-Request-Id": "mine"}, timeout=GENEROUS_S
            )
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
