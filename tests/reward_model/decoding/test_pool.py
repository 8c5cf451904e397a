"""The decode pool with real worker processes and clips; faults are caused by signals and broken files."""

import asyncio
import gc
import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from identity_reward_client.errors import InvalidMedia, LimitExceeded, ScoringFailed
from reward_model.decoding import decoders as decode
from reward_model.decoding import pool as decode_pool
from reward_model.decoding.pool import DecodePool
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
INDICES = [0, 7, 7, 29]


@pytest.fixture(scope="module")
def pool():
    pool_of_two = DecodePool(2, timeout_s=20)
    pool_of_two.start()
    pool_of_two.wait_ready()
    yield pool_of_two
    pool_of_two.close()


def frames(pool: DecodePool, data: bytes, after_probe=lambda: None) -> np.ndarray:
    with pool.video(data) as clip:
        after_probe()
        return clip.frames(INDICES)


def png(*size: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else 1).save(file, "PNG")
    return file.getvalue()


def image(pool: DecodePool, data: bytes, max_pixels: int = 10**6) -> np.ndarray:
    return pool.image(data, "reference 0", max_pixels, "upright")


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def reaped(pid: int) -> bool:
    """Whether the process has ended and was reaped."""
    return not Path(f"/proc/{pid}").exists()


def test_frames_and_probe_equal_those_of_decoding_in_process(pool, clip):
    data = clip()
    with pool.video(data) as opened:
        assert opened.probe == decode.probe(data)
        decoded = opened.frames(INDICES)
    assert np.array_equal(decoded, decode.decode_frames(data, INDICES))
    assert decoded.flags.writeable
    assert np.array_equal(frames(pool, memoryview(data)), decoded)


def test_image_equals_that_of_decoding_in_process(pool):
    assert np.array_equal(image(pool, png(30, 20)), np.full((20, 30, 3), (255, 0, 0), np.uint8))


def test_caller_that_refuses_the_probe_leaves_the_worker_usable(pool, clip):
    before = pool.pids
    with pytest.raises(LimitExceeded, match="my own"), pool.video(clip()) as opened:
        raise LimitExceeded(f"my own: {opened.probe.width}")
    assert frames(pool, clip()).shape == (4, 240, 416, 3)
    assert pool.pids == before


def test_frames_over_the_limit_are_not_decoded_for_their_orientation(pool, clip):
    turned = clip(rotation=90)
    with pool.video(turned) as opened:
        assert (opened.probe.width, opened.probe.rotation) == (240, 90)
    with pool.video(turned, max_pixels=1000) as opened:
        assert (opened.probe.width, opened.probe.rotation) == (416, 0)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "empty"), (b"text" * 99, "no video file of a known kind"), (bytes(999), "zeros")]
)
def test_file_that_is_no_video_is_an_error_and_keeps_the_worker(pool, data, message):
    before = pool.pids
    with pytest.raises(InvalidMedia, match=message):
        frames(pool, data)
    assert pool.pids == before


def test_error_of_an_image_over_the_limit_states_its_size(pool):
    with pytest.raises(LimitExceeded, match="reference 0 is 300x200, 60000 pixels; at most 100") as caught:
        image(pool, png(300, 200), max_pixels=100)
    assert caught.value.details == {"limit": "max_image_pixels", "maximum": 100}


def test_workers_have_no_torch_and_no_network(pool, clip):
    frames(pool, clip())
    for pid in pool.pids:
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "libav" in loaded
        assert "torch" not in loaded
        assert psutil.Process(pid).net_connections("inet") == []


def test_worker_has_resource_limits(make_pool):
    pid = make_pool(max_bytes=3 << 30).pids[0]
    limits = Path(f"/proc/{pid}/limits").read_text()
    values = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert values["Max address space"] == [str(3 << 30)] * 2
    assert values["Max core file size"] == values["Max file size"] == ["0", "0"]
    assert values["Max open files"] == ["64", "64"]


SIGNALS = [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV]


@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
def test_worker_that_dies_fails_its_file_and_is_replaced(make_pool, clip, number):
    pool = make_pool()
    old = pool.pids[0]
    with pytest.raises(InvalidMedia, match=f"the video can't be decoded: its decoder died of signal {number}"):
        frames(pool, clip(), after_probe=lambda: os.kill(old, number))
    assert reaped(old)
    assert pool.pids[0] != old
    assert frames(pool, clip()).shape == (4, 240, 416, 3)


def test_worker_that_dies_while_idle_fails_no_file(make_pool, clip):
    pool = make_pool(2)
    old = pool.pids
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(ended(pid) for pid in old), "both workers are dead")
    assert frames(pool, clip()).shape == (4, 240, 416, 3)
    assert frames(pool, clip()).shape == (4, 240, 416, 3)
    assert all(reaped(pid) for pid in old)


def test_hanging_worker_is_killed_at_the_deadline(make_pool, clip):
    pool = make_pool(timeout_s=1.0)
    pool.wait_ready()
    old = pool.pids[0]
    started = time.monotonic()
    with pytest.raises(LimitExceeded, match="the video takes over 1 s to decode") as caught:
        frames(pool, clip(), after_probe=lambda: os.kill(old, signal.SIGSTOP))
    assert 0.9 < time.monotonic() - started < 3
    assert caught.value.details == {"limit": "decode_timeout_s", "maximum": 1.0}
    assert reaped(old)
    assert frames(pool, clip()).shape == (4, 240, 416, 3)


def test_deadline_covers_sending_a_large_file_to_a_stopped_worker(make_pool):
    pool = make_pool(timeout_s=1.0)
    os.kill(pool.pids[0], signal.SIGSTOP)
    with pytest.raises(LimitExceeded, match="over 1 s"):
        frames(pool, bytes(50 << 20))


def test_file_that_needs_more_memory_than_a_worker_has_is_refused(make_pool):
    pool = make_pool(max_bytes=500 << 20)
    with pytest.raises((LimitExceeded, InvalidMedia), match="reference 0"):
        image(pool, png(9000, 9000), max_pixels=10**9)
    assert image(pool, png(30, 20)).shape == (20, 30, 3)


def test_many_threads_share_two_workers(pool, clip):
    data = clip()
    expected = frames(pool, data)

    def work(i: int) -> bool:
        if i % 3 == 0:
            return image(pool, png(10 + i, 5)).shape == (5, 10 + i, 3)
        if i % 3 == 1:
            with pytest.raises(InvalidMedia):
                frames(pool, data[: len(data) // 2])
            return True
        return np.array_equal(frames(pool, data), expected)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(60)))


async def test_event_loop_runs_while_threads_decode(pool, clip):
    data, ticks = clip(), 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    shapes = await asyncio.gather(*(asyncio.to_thread(lambda: frames(pool, data).shape) for _ in range(8)))
    ticking.cancel()
    assert set(shapes) == {(4, 240, 416, 3)}
    assert ticks > 10


def test_close_kills_busy_workers(make_pool, clip):
    pool = make_pool(2)
    pids, failed = pool.pids, []

    def wait():
        started.set()
        closed.wait(10)

    def work():
        with pytest.raises(ScoringFailed, match="closed") as caught:
            frames(pool, clip(), after_probe=wait)
        failed.append(caught.value)

    started, closed = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    started.wait(10)
    pool.close()
    closed.set()
    thread.join(10)
    assert len(failed) == 1
    assert all(reaped(pid) for pid in pids)
    with pytest.raises(ScoringFailed, match="closed"):
        image(pool, png(3, 3))
    pool.close()


def test_processes_end_when_the_pool_is_garbage_collected(make_pool):
    pool = DecodePool(1)
    pool.start()
    pool.wait_ready()
    pids = pool.pids
    del pool
    gc.collect()
    assert all(reaped(pid) for pid in pids)


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
def test_workers_end_with_the_process_that_owns_them(end):
    code = (
        "import os\nfrom reward_model.decoding.pool import DecodePool\n"
        f"pool = DecodePool(1); pool.start(); pool.wait_ready(); print(pool.pids[0], flush=True)\n{end}"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    pid = int(completed.stdout)
    wait_until(lambda: ended(pid), "the worker ends")
    assert completed.stderr == ""


def test_worker_is_replaced_after_many_jobs(make_pool, monkeypatch):
    monkeypatch.setattr(decode_pool, "_JOBS_PER_WORKER", 3)
    pool = make_pool()
    pids = {(image(pool, png(4, 4)).shape, pool.pids[0])[1] for _ in range(9)}
    assert len(pids) == 4


def test_decord_can_be_the_decoder(make_pool, clip):
    assert np.array_equal(frames(make_pool(decoder="decord"), clip()), decode.decode_frames(clip(), INDICES))
