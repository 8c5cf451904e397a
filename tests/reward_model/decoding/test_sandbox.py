"""Confinement of decode workers, seen from programs that have a pool."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_modules_of_a_worker_import_no_torch():
    code = (
        "import sys; from reward_model.decoding import decoders, images, media_decoder, sandbox, worker; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'pydantic', 'service', 'transformers'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


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
def test_worker_has_its_own_network_namespace(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    done = run_network(path=path)
    assert done.stdout == f"{os.getuid()} True (2, 240, 416, 3)\n", done.stderr
    assert done.stderr == "", "no warning is expected"


# an ordinary user who may read the interpreter's folder, which may be root's own
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search",
          "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become an ordinary user")
def test_worker_of_an_ordinary_user_has_one_or_the_log_states_why(clip, tmp_path):
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
def test_kernel_without_network_namespaces_is_logged_and_decoding_works(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    none = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"', "sh"]
    done = run_network(*none, path=path)
    assert done.stdout == "0 False (2, 240, 416, 3)\n", done.stderr
    assert "it shares the server's network: unshare says" in done.stderr


def test_script_without_a_main_guard_can_have_a_pool(clip, tmp_path):
    """Unlike workers that multiprocessing spawns, which import the script again."""
    script = tmp_path / "script.py"
    script.write_text(NETWORK)
    (tmp_path / "clip.mp4").write_bytes(clip())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/clients"}
    command = [sys.executable, script, tmp_path / "clip.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "(2, 240, 416, 3)" in done.stdout
