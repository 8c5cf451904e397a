"""Ten minutes of mixed traffic: answers stay right, and memory and file descriptors do not grow."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import httpx
import numpy as np
import psutil
import pytest

from tests.e2e.soak.traffic import CALLS, Traffic
from tests.support.grey_videos import grey_request
from tests.support.media import b64, encode_video, panned_portrait
from tests.support.metrics import is_idle
from tests.support.server import ServeProcess, decode_processes
from tests.support.waiting import wait_until

DURATION_S = 600.0
# of which the caches fill and the allocator finds its size
WARM_UP_S = 150.0
ROUND_S = 15.0
# growth over the time after the warm-up, of a straight line through the quiet moments; the same however fast it goes
MAX_GROWTH_BYTES = 16 << 20
MAX_GROWTH_FDS = 3.0
# small, so that they are full before the warm-up is over
SETTINGS = {
    "decode_workers": 2, "max_waiting_tokens": 2000, "max_batch_tokens": 400, "result_cache_entries": 200,
    "idempotency_lifetime_s": 10, "max_reference_store_bytes": 4000, "max_waiting_bytes": 1 << 20,
    "request_timeout_s": 10,
}  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What all processes of the server hold together, while no request runs."""

    at: float
    rss_bytes: int
    fds: int
    threads: int

    @classmethod
    def now(cls, server: ServeProcess) -> "Resources":
        wait_until(lambda: is_idle(server.url), "nothing is held for anybody")
        wait_until(lambda: len(decode_processes(server)) == 2, "both decode workers run")
        time.sleep(1)  # connections that were just closed
        family = [server.process, *server.process.children(recursive=True)]
        assert psutil.STATUS_ZOMBIE not in {process.status() for process in family}
        return cls(
            time.monotonic(),
            sum(process.memory_info().rss for process in family),
            sum(process.num_fds() for process in family),
            sum(process.num_threads() for process in family),
        )


def growth(held: list[Resources], name: str) -> float:
    """Of the straight line that fits best, from the first moment to the last."""
    at = np.array([resources.at for resources in held])
    slope, _ = np.polyfit(at - at[0], [getattr(resources, name) for resources in held], 1)
    return float(slope * (at[-1] - at[0]))


def kill_a_decode_worker(server: ServeProcess) -> None:
    with suppress(psutil.NoSuchProcess, IndexError):
        decode_processes(server)[0].kill()


@pytest.mark.slow
def test_ten_minutes_of_mixed_traffic_leave_memory_and_descriptors_flat(serve_slow):
    server = serve_slow("--grpc-port", "0", **SETTINGS).wait_ready(lines=2)
    clip = encode_video(panned_portrait("P001", frames=4, size=64))
    scored = httpx.post(f"{server.url}/v1/score", json=grey_request(0) | {"video": {"data": b64(clip)}}, timeout=20)
    traffic = Traffic(server.url, server.grpc_target, clip, scored.json()["reward"])
    started = time.monotonic()
    held: list[Resources] = []
    while time.monotonic() - started < DURATION_S:
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(asyncio.run, traffic.run(ROUND_S))
            time.sleep(ROUND_S / 2)
            kill_a_decode_worker(server)
            loading.result()
        held.append(Resources.now(server))
        now = held[-1]
        print(
            f"{now.at - started:6.0f} s {traffic.outcomes.total():7d} calls {now.rss_bytes / 2**20:8.1f} MB "
            f"{now.fds:4d} fds {now.threads:4d} threads {len(traffic.wrong)} wrong",
            flush=True,
        )
        assert traffic.wrong == []
    for (call, answer), count in sorted(traffic.outcomes.items()):
        print(f"{count:7d} {call}: {answer}")
    steady = [resources for resources in held if resources.at - started > WARM_UP_S]
    grown = {name: growth(steady, name) for name in ("rss_bytes", "fds", "threads")}
    print(f"growth after {WARM_UP_S:g} s: {grown}")
    assert grown["rss_bytes"] < MAX_GROWTH_BYTES
    assert grown["fds"] < MAX_GROWTH_FDS
    assert grown["threads"] < MAX_GROWTH_FDS
    seen = {call for call, _ in traffic.outcomes}
    assert seen == {call.__name__ for call in CALLS}
    for call in ("http_score", "grpc_score", "grpc_group", "http_raw_group", "http_file"):
        assert traffic.outcomes[call, "right"], f"{call} was never answered"
    assert traffic.outcomes["grpc_score", "overloaded"], "it was never too much"
    assert not [line for line in server.err if "Traceback" in line or "internal error" in line]
    assert server.end() == 0
