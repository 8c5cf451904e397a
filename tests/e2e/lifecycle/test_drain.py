"""Stopping under load loses nothing that was taken, and a server that can't go on ends."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import psutil

from identity_reward_client.messages import ScoreRequest
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.methods import SCORE
from tests.e2e.conftest import grey_body


def gone(family: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)


def test_nothing_that_was_taken_is_lost_and_what_comes_is_told_to_come_back(serve_slow):
    server = serve_slow(max_batch_tokens=200, result_cache_entries=0).wait_ready()
    outcomes: list[tuple[float, int, object]] = []
    stopped = threading.Event()
    asked = [0.0]

    def keep_asking(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            step = 0
            while not stopped.is_set():
                step += 1
                begun = time.monotonic()
                try:
                    answer = client.post("/v1/score", json=grey_body(150, number * 16 + step % 16))
                except httpx.TransportError as error:
                    outcomes.append((begun, 0, error))
                    return
                outcomes.append((begun, answer.status_code, answer))
                if answer.status_code == 503:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert answer.json()["error"]["code"] == "not_ready"
                    assert answer.json()["error"]["retryable"] is True
                    time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(keep_asking, number) for number in range(8)]
        time.sleep(1.0)
        asked[0] = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        ready = httpx.get(f"{server.url}/readyz", timeout=5)
        assert server.wait(20) == 0
        stopped.set()
        for caller in callers:
            caller.result(20)
    assert ready.status_code == 503
    before = [outcome for outcome in outcomes if outcome[0] < asked[0] - 0.05]
    assert before
    assert all(status == 200 for _, status, _ in before), "taken before the signal"
    assert {status for _, status, _ in outcomes} <= {0, 200, 503}
    assert gone(server.family)


def test_a_signal_to_every_process_at_once_loses_nothing(serve_slow):
    server = serve_slow("--grpc-port", "0", max_batch_tokens=100, result_cache_entries=0).wait_ready(lines=2)
    target = server.out[1].rsplit(" ", 1)[1].strip()

    def by_grpc(number: int) -> int:
        body = to_proto(ScoreRequest.model_validate(grey_body(200, number))).SerializeToString()
        with grpc.insecure_channel(target.removeprefix("grpc://")) as channel:
            channel.unary_unary(SCORE.path)(body, timeout=20)
        return 200

    def by_http(number: int) -> int:
        return httpx.post(f"{server.url}/v1/score", json=grey_body(200, number), timeout=20).status_code

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(by_grpc if n % 2 else by_http, n) for n in range(8)]
        time.sleep(0.5)  # as systemd stops a unit:
        for one in [*server.family, server.process]:
            one.send_signal(signal.SIGTERM)
        assert [call.result() for call in calls] == [200] * 8
        assert server.wait(20) == 0
    assert gone(server.family)


def test_the_drain_has_an_end_of_its_own(serve_slow):
    server = serve_slow(max_batch_tokens=100, drain_timeout_s=0.5, result_cache_entries=0).wait_ready()
    with ThreadPoolExecutor(20) as pool, httpx.Client(base_url=server.url, timeout=20) as client:
        calls = [pool.submit(client.post, "/v1/score", json=grey_body(200, n)) for n in range(20)]
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        answers = [call.result() for call in calls]
        assert time.monotonic() - asked < 2, "twenty take 4 s"
        assert server.wait(20) == 0
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]


def test_a_lost_device_ends_the_server_with_one_line(serve_slow):
    server = serve_slow().wait_ready()
    answer = httpx.post(f"{server.url}/v1/score", json=grey_body(255), timeout=20)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "scoring_failed"
    assert server.wait(20) == 1
    assert server.err[-1] == (
        "identity-reward serve: the server has stopped: the device is lost: cuda:0: an illegal memory access was "
        "encountered\n"
    )
    assert gone(server.family)


def test_a_worker_that_is_killed_ends_the_server_for_its_supervisor_to_start_again(serve_slow):
    server = serve_slow().wait_ready()
    max(server.family, key=lambda one: one.memory_info().rss).kill()
    assert server.wait(30) == 1
    assert server.err[-1].startswith("identity-reward serve: ")
    assert gone(server.family)
