"""Stopping under load finishes every accepted request, and a server that can't go on ends."""

import signal
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import httpx

from identity_reward_client.proto.methods import SCORE
from tests.e2e.grpc_calls import score_request
from tests.support.grey_videos import grey_request
from tests.support.metrics import metric
from tests.support.server import SlowServer, have_ended
from tests.support.waiting import GENEROUS_S, wait_until


def score(server: SlowServer, level: int, nonce: int) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/score", json=grey_request(level, nonce), timeout=GENEROUS_S)


def wait_until_not_ready(server: SlowServer) -> None:
    def refuses() -> bool:
        return httpx.get(f"{server.url}/readyz", timeout=GENEROUS_S).status_code == 503

    wait_until(refuses, "the server drains")


def test_accepted_requests_are_answered_and_new_ones_get_retry_after(serve_slow):
    server = serve_slow(max_batch_tokens=200, result_cache_entries=0).wait_ready()
    statuses: Counter[int] = Counter()
    stopped = threading.Event()

    def keep_asking(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as client:
            step = 0
            while not stopped.is_set():
                step += 1
                try:
                    answer = client.post("/v1/score", json=grey_request(50, number * 16 + step % 16))
                except httpx.TransportError:
                    return  # the port is closed
                statuses[answer.status_code] += 1
                if answer.status_code == 503:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert answer.json()["error"]["code"] == "not_ready"
                    assert answer.json()["error"]["retryable"] is True

    with ThreadPoolExecutor(16) as pool:
        callers = [pool.submit(keep_asking, number) for number in range(4)]
        wait_until(lambda: statuses[200] >= 8, "they are answered")
        with server.gate.closed():
            accepted = [pool.submit(score, server, 50, 64 + number) for number in range(4)]
            wait_until(lambda: server.gate.preprocessed_since_closed >= 4, "some are accepted")
            wait_until(lambda: metric(server.url, "waiting_tokens") == 800, "all eight are accepted")
            server.process.send_signal(signal.SIGTERM)
            wait_until_not_ready(server)
            late = [score(server, 50, 100 + number) for number in range(3)]
        assert [answer.result().status_code for answer in accepted] == [200] * 4
        assert server.wait() == 0
        stopped.set()
        for caller in callers:
            caller.result()
    assert [answer.status_code for answer in late] == [503] * 3
    assert set(statuses) <= {200, 503}
    assert have_ended(server.family)


def test_a_signal_to_every_process_at_once_loses_nothing(serve_slow):
    server = serve_slow("--grpc-port", "0", max_batch_tokens=100, result_cache_entries=0).wait_ready(lines=2)

    def over_grpc(number: int) -> int:
        with grpc.insecure_channel(server.grpc_target) as channel:
            channel.unary_unary(SCORE.path)(score_request(100, number).SerializeToString(), timeout=GENEROUS_S)
        return 200

    def over_http(number: int) -> int:
        return score(server, 100, number).status_code

    with ThreadPoolExecutor(8) as pool:
        with server.gate.closed():
            calls = [pool.submit(over_grpc if n % 2 else over_http, n) for n in range(8)]
            wait_until(lambda: metric(server.url, "waiting_tokens") == 800, "all are accepted")
            for process in [*server.family, server.process]:  # as systemd stops a unit
                process.send_signal(signal.SIGTERM)
        assert [call.result() for call in calls] == [200] * 8
        assert server.wait() == 0
    assert have_ended(server.family)


def test_a_drain_that_is_over_refuses_what_still_waits(serve_slow):
    server = serve_slow(max_batch_tokens=100, drain_timeout_s=0.5, result_cache_entries=0).wait_ready()
    with ThreadPoolExecutor(20) as pool:
        server.gate.close()
        calls: list[Future[httpx.Response]] = [pool.submit(score, server, 20, n) for n in range(20)]
        wait_until(lambda: metric(server.url, "waiting_tokens") == 2000, "all are accepted")
        server.gate.let_pass(1)
        wait_until(lambda: any(call.done() for call in calls), "one is answered")
        server.process.send_signal(signal.SIGTERM)
        # the model is held up for longer than the drain may take
        wait_until(lambda: sum(call.done() for call in calls) >= 19, "those that no batch holds are refused")
        server.gate.open()
        answers = [call.result() for call in calls]
        assert server.wait() == 0
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]


def test_a_lost_device_ends_the_server_with_one_line(serve_slow):
    server = serve_slow().wait_ready()
    answer = score(server, 255, 0)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "scoring_failed"
    assert server.wait() == 1
    assert server.err[-1] == (
        "identity-reward serve: the server has stopped: the device is lost: cuda:0: an illegal memory access was "
        "encountered\n"
    )
    assert have_ended(server.family)


def test_a_killed_worker_ends_the_server_for_its_supervisor_to_start_again(serve_slow):
    server = serve_slow().wait_ready()
    max(server.family, key=lambda process: process.memory_info().rss).kill()
    assert server.wait() == 1
    assert server.err[-1].startswith("identity-reward serve: ")
    assert have_ended(server.family)
