"""Ten minutes of everything at once: answers stay right, and memory and file descriptors stay where they were."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import httpx
import numpy as np
import psutil
import pytest

from tests.e2e.conftest import ServeProcess, b64, grey_body, mp4, pan
from tests.e2e.grpc_calls import free, until
from tests.e2e.lifecycle.test_decode_workers import workers
from tests.e2e.soak.traffic import ACTS, Traffic

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
class Held:
    """By all processes of the server, in a moment when nobody asks anything."""

    at: float
    rss_bytes: int
    fds: int
    threads: int

    @classmethod
    def now(cls, server: ServeProcess) -> "Held":
        until(lambda: free(server.url), "something is still held for somebody", 20)
        until(lambda: len(workers(server)) == 2, "a decode worker is missing", 20)
        time.sleep(1)  # connections that were just closed
        family = [server.process, *server.process.children(recursive=True)]
        assert psutil.STATUS_ZOMBIE not in {one.status() for one in family}
        return cls(
            time.monotonic(),
            sum(one.memory_info().rss for one in family),
            sum(one.num_fds() for one in family),
            sum(one.num_threads() for one in family),
        )


def growth(held: list[Held], name: str) -> float:
    """Of the straight line that fits best, from the first moment to the last."""
    at = np.array([one.at for one in held])
    slope, _ = np.polyfit(at - at[0], [getattr(one, name) for one in held], 1)
    return float(slope * (at[-1] - at[0]))


def kill_a_decode_worker(server: ServeProcess) -> None:
    with suppress(psutil.NoSuchProcess, IndexError):
        workers(server)[0].kill()


@pytest.mark.slow
def test_ten_minutes_of_everything(serve_slow):
    server = serve_slow("--grpc-port", "0", **SETTINGS).wait_ready(lines=2)
    clip = mp4(pan("P001", frames=4, size=64))
    scored = httpx.post(f"{server.url}/v1/score", json=grey_body(0) | {"video": {"data": b64(clip)}}, timeout=20)
    traffic = Traffic(server.url, server.grpc_target, clip, scored.json()["reward"])
    started = time.monotonic()
    held: list[Held] = []
    while time.monotonic() - started < DURATION_S:
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(asyncio.run, traffic.run(ROUND_S))
            time.sleep(ROUND_S / 2)
            kill_a_decode_worker(server)
            loading.result()
        held.append(Held.now(server))
        now = held[-1]
        print(
            f"{now.at - started:6.0f} s {traffic.outcomes.total():7d} calls {now.rss_bytes / 2**20:8.1f} MB "
            f"{now.fds:4d} fds {now.threads:4d} threads {len(traffic.wrong)} wrong",
            flush=True,
        )
        assert traffic.wrong == []
    for (act, said), count in sorted(traffic.outcomes.items()):
        print(f"{count:7d} {act}: {said}")
    steady = [one for one in held if one.at - started > WARM_UP_S]
    grown = {name: growth(steady, name) for name in ("rss_bytes", "fds", "threads")}
    print(f"growth after {WARM_UP_S:g} s: {grown}")
    assert grown["rss_bytes"] < MAX_GROWTH_BYTES
    assert grown["fds"] < MAX_GROWTH_FDS
    assert grown["threads"] < MAX_GROWTH_FDS
    seen = {act for act, _ in traffic.outcomes}
    assert seen == {act.__name__ for act in ACTS}
    for act in ("http_score", "grpc_score", "grpc_group", "http_raw_group", "http_file"):
        assert traffic.outcomes[act, "right"], f"{act} was never answered"
    assert traffic.outcomes["grpc_score", "overloaded"], "it was never too much"
    assert not [line for line in server.err if "Traceback" in line or "internal error" in line]
    assert server.end() == 0
