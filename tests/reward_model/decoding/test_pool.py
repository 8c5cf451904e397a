"""Real worker processes, real clips; what breaks here is broken with signals and files."""

import asyncio
import gc
import io
import os
import shutil
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
from reward_model.decoding import process as decode_process
from reward_model.decoding.pool import DecodePool
from reward_model.decoding.protocol import encode

ROOT = Path(__file__).parents[3]
INDICES = [0, 7, 7, 29]


@pytest.fixture(scope="module")
def pool():
    with_two = DecodePool(2, timeout_s=20)
    with_two.start()
    with_two.wait_ready()
    yield with_two
    with_two.close()


@pytest.fixture
def make_pool():
    made = []

    def make(workers=1, **options) -> DecodePool:
        made.append(DecodePool(workers, **options))
        made[-1].start()
        made[-1].wait_ready()
        return made[-1]

    yield make
    for one in made:
        one.close()


def frames(pool: DecodePool, data: bytes, after_probe=lambda: None) -> np.ndarray:
    with pool.video(data) as clip:
        after_probe()
        return clip.frames(INDICES)


def png(*size: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else 1).save(file, "PNG")
    return file.getvalue()


def picture(pool: DecodePool, data: bytes, max_pixels: int = 10**6) -> np.ndarray:
    return pool.image(data, "reference 0", max_pixels, "upright")


def gone(pid: int) -> bool:
    """Not even a zombie is left."""
    return not Path(f"/proc/{pid}").exists()


def test_frames_and_probe_are_those_of_decoding_here(pool, clip):
    data = clip()
    with pool.video(data) as opened:
        assert opened.probe == decode.probe(data)
        got = opened.frames(INDICES)
    assert np.array_equal(got, decode.decode_frames(data, INDICES))
    assert got.flags.writeable
    assert np.array_equal(frames(pool, memoryview(data)), got)


def test_a_picture_is_that_of_decoding_here(pool):
    assert np.array_equal(picture(pool, png(30, 20)), np.full((20, 30, 3), (255, 0, 0), np.uint8))


def test_a_caller_who_refuses_the_probe_gets_no_frame_and_leaves_the_worker_whole(pool, clip):
    before = pool.pids
    with pytest.raises(LimitExceeded, match="my own"), pool.video(clip()) as opened:
        raise LimitExceeded(f"my own: {opened.probe.width}")
    assert frames(pool, clip()).shape == (4, 240, 416, 3)
    assert pool.pids == before


def test_frames_over_a_limit_are_not_decoded_to_learn_how_they_are_turned(pool, clip):
    turned = clip(rotation=90)
    with pool.video(turned) as opened:
        assert (opened.probe.width, opened.probe.rotation) == (240, 90)
    with pool.video(turned, max_pixels=1000) as opened:
        assert (opened.probe.width, opened.probe.rotation) == (416, 0)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "empty"), (b"text" * 99, "no video file of a known kind"), (bytes(999), "zeros")]
)
def test_a_file_that_is_no_video_says_so_and_costs_no_worker(pool, data, message):
    before = pool.pids
    with pytest.raises(InvalidMedia, match=message):
        frames(pool, data)
    assert pool.pids == before


def test_pictures_over_the_limit_say_how_large_they_are(pool):
    with pytest.raises(LimitExceeded, match="reference 0 is 300x200, 60000 pixels; at most 100") as caught:
        picture(pool, png(300, 200), max_pixels=100)
    assert caught.value.details == {"limit": "max_image_pixels", "maximum": 100}


def test_workers_have_no_torch_and_no_network(pool, clip):
    frames(pool, clip())
    for pid in pool.pids:
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "libav" in loaded
        assert "torch" not in loaded
        assert psutil.Process(pid).net_connections("inet") == []


def test_importing_what_a_worker_needs_imports_no_torch():
    code = (
        "import sys; from reward_model.decoding import decoders, images, media_decoder, sandbox, worker; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'pydantic', 'service', 'transformers'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_limits_of_a_worker(make_pool):
    pid = make_pool(max_bytes=3 << 30).pids[0]
    told = Path(f"/proc/{pid}/limits").read_text()
    values = {line[:26].strip(): line[26:].split()[:2] for line in told.splitlines()}
    assert values["Max address space"] == [str(3 << 30)] * 2
    assert values["Max core file size"] == values["Max file size"] == ["0", "0"]
    assert values["Max open files"] == ["64", "64"]


NETWORK = """
import os, sys
from reward_model.decoding.pool import DecodePool
pool = DecodePool(1)
pool.start()
pool.wait_ready()
with pool.video(open(sys.argv[1], "rb").read()) as clip:
    frames = clip.frames([0, 3])
apart = os.readlink(f"/proc/{pool.pids[0]}/ns/net") != os.readlink("/proc/self/ns/net")
print(os.getuid(), apart, frames.shape, flush=True)
pool.close()
"""


def namespaces_allowed(*arguments: str) -> bool:
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, *arguments, "true"], capture_output=True).returncode == 0


def run_network(*prefix: str, path: Path) -> subprocess.CompletedProcess:
    return subprocess.run([*prefix, sys.executable, "-c", NETWORK, path], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.skipif(
    not namespaces_allowed("-n") and not namespaces_allowed("-Un"), reason="no namespaces for this user"
)
def test_a_worker_has_a_network_namespace_of_its_own(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    done = run_network(path=path)
    assert done.stdout == f"{os.getuid()} True (2, 240, 416, 3)\n", done.stderr
    assert done.stderr == "", "nothing to complain of"


# an ordinary user who may read the interpreter's folder, which may be root's own
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search",
          "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become an ordinary user")
def test_an_ordinary_users_worker_has_one_too_or_the_log_says_why(clip, tmp_path):
    path = Path("/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) / f"clip-{os.getpid()}.mp4"
    path.write_bytes(clip())
    path.chmod(0o644)
    try:
        done = run_network(*NOBODY, path=path)
    finally:
        path.unlink()
    allowed = subprocess.run([*NOBODY, "unshare", "-Un", "true"], capture_output=True).returncode == 0
    assert done.stdout == f"65534 {allowed} (2, 240, 416, 3)\n", done.stderr
    assert ("less confined" in done.stderr) == (not allowed)


@pytest.mark.skipif(not namespaces_allowed("-Ur"), reason="no user namespaces for this user")
def test_a_kernel_that_allows_none_is_logged_and_decoding_goes_on(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    none = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"', "sh"]
    done = run_network(*none, path=path)
    assert done.stdout == "0 False (2, 240, 416, 3)\n", done.stderr
    assert "it shares the server's network: unshare says" in done.stderr


SIGNALS = [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV]


@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
def test_a_worker_that_dies_costs_its_file_and_is_replaced(make_pool, clip, number):
    pool = make_pool()
    old = pool.pids[0]
    with pytest.raises(InvalidMedia, match=f"the video can't be decoded: its decoder died of signal {number}"):
        frames(pool, clip(), after_probe=lambda: os.kill(old, number))
    assert gone(old)
    assert pool.pids[0] != old
    assert frames(pool, clip()).shape == (4, 240, 416, 3)


def test_one_that_dies_while_idle_costs_nothing(make_pool, clip):
    pool = make_pool(2)
    old = pool.pids
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert frames(pool, clip()).shape == (4, 240, 416, 3)
    assert frames(pool, clip()).shape == (4, 240, 416, 3)
    assert all(gone(pid) for pid in old)


def test_a_hang_is_ended_by_the_deadline(make_pool, clip):
    pool = make_pool(timeout_s=1.0)
    old = pool.pids[0]
    started = time.monotonic()
    with pytest.raises(LimitExceeded, match="the video takes over 1 s to decode") as caught:
        frames(pool, clip(), after_probe=lambda: os.kill(old, signal.SIGSTOP))
    assert 0.9 < time.monotonic() - started < 3
    assert caught.value.details == {"limit": "decode_timeout_s", "maximum": 1.0}
    assert gone(old)
    assert frames(pool, clip()).shape == (4, 240, 416, 3)


def test_a_file_too_large_for_a_stopped_worker_to_take_meets_the_deadline_too(make_pool):
    pool = make_pool(timeout_s=1.0)
    os.kill(pool.pids[0], signal.SIGSTOP)
    with pytest.raises(LimitExceeded, match="over 1 s"):
        frames(pool, bytes(50 << 20))


def test_a_file_that_needs_more_memory_than_a_worker_may_take_is_refused(make_pool):
    pool = make_pool(max_bytes=500 << 20)
    with pytest.raises((LimitExceeded, InvalidMedia), match="reference 0"):
        picture(pool, png(9000, 9000), max_pixels=10**9)
    assert picture(pool, png(30, 20)).shape == (20, 30, 3)


NONSENSE = {
    "too few fields": encode({"width": 1 << 40, "height": 4}),
    "a width below zero": encode({"container": "mp4", "codec": "x", "width": -1, "height": 1, "num_frames": 1,
                                "fps": 1.0, "duration_s": 1.0, "rotation": 0}),
    "pixels for ever": encode({"shape": [1 << 40]}, 1 << 62),
    "pixels that nobody wants": encode({"shape": [4]}, 4) + b"1234",
    "a long text": b"\xff" * 64,
    "no object": (2).to_bytes(4, "big") + bytes(8) + b"[]",
}  # fmt: skip


@pytest.mark.parametrize("said", NONSENSE)
def test_a_worker_taken_over_by_a_file_is_not_believed(make_pool, clip, monkeypatch, said):
    script = f"import os; os.write(0, {encode({'missing': []})!r}); os.read(0, 1); os.write(0, {NONSENSE[said]!r})"
    # one that ends with the job unread resets the connection, and what it said is lost
    script += "\nwhile os.read(0, 1 << 16): pass"
    monkeypatch.setattr(decode_process, "_MAIN", script)
    with pytest.raises(InvalidMedia, match="its decoder sent an invalid answer"):
        frames(make_pool(), clip())


def test_many_threads_share_two_workers(pool, clip):
    data = clip()
    expected = frames(pool, data)

    def work(i: int) -> bool:
        if i % 3 == 0:
            return picture(pool, png(10 + i, 5)).shape == (5, 10 + i, 3)
        if i % 3 == 1:
            with pytest.raises(InvalidMedia):
                frames(pool, data[: len(data) // 2])
            return True
        return np.array_equal(frames(pool, data), expected)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(60)))


async def test_an_event_loop_goes_on_while_it_waits(pool, clip):
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


def test_close_leaves_no_process_even_in_the_middle_of_a_job(make_pool, clip):
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
    assert all(gone(pid) for pid in pids)
    with pytest.raises(ScoringFailed, match="closed"):
        picture(pool, png(3, 3))
    pool.close()


def test_a_forgotten_pool_takes_its_processes_along(make_pool):
    pool = DecodePool(1)
    pool.start()
    pool.wait_ready()
    pids = pool.pids
    del pool
    gc.collect()
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
def test_workers_end_with_the_process_that_has_them(end):
    code = (
        "import os\nfrom reward_model.decoding.pool import DecodePool\n"
        f"pool = DecodePool(1); pool.start(); pool.wait_ready(); print(pool.pids[0], flush=True)\n{end}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    pid, deadline = int(done.stdout), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert done.stderr == ""


def test_a_script_without_a_main_guard_may_have_a_pool(clip, tmp_path):
    """What multiprocessing's spawned workers can't do: they import the script again."""
    script = tmp_path / "script.py"
    script.write_text(NETWORK)
    (tmp_path / "clip.mp4").write_bytes(clip())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/clients"}
    command = [sys.executable, script, tmp_path / "clip.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "(2, 240, 416, 3)" in done.stdout


def test_a_worker_is_renewed_after_many_jobs(make_pool, monkeypatch):
    monkeypatch.setattr(decode_pool, "_JOBS_PER_WORKER", 3)
    pool = make_pool()
    seen = {(picture(pool, png(4, 4)).shape, pool.pids[0])[1] for _ in range(9)}
    assert len(seen) == 4


def test_workers_that_can_not_start_say_why(make_pool):
    with pytest.raises(ScoringFailed, match=r"did not start: KeyError.*no decoder is called 'gstreamer'"):
        make_pool(decoder="gstreamer")


def test_decord_serves_as_well(make_pool, clip):
    assert np.array_equal(frames(make_pool(decoder="decord"), clip()), decode.decode_frames(clip(), INDICES))
