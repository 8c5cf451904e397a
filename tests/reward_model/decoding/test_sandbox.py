"""Confinement of decode workers, tested in programs that open a pool."""

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
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert completed.stdout == "[]\n"


NETWORK = """
import os, sys
from reward_model.decoding.pool import DecodePool
pool = DecodePool(1)
pool.start()
pool.wait_ready()
with pool.video(open(sys.argv[1], "rb").read()) as clip:
    frames = clip.frames([0, 3])
separate = os.readlink(f"/proc/{pool.pids[0]}/ns/net") != os.readlink("/proc/self/ns/net")
print(os.getuid(), separate, frames.shape, flush=True)
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
    completed = run_network(path=path)
    assert completed.stdout == f"{os.getuid()} True (2, 240, 416, 3)\n", completed.stderr
    assert completed.stderr == "", "no warning is expected"


# an ordinary user who may read the interpreter's folder, which may be root's own
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search",
          "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become an ordinary user")
def test_unprivileged_worker_has_a_network_namespace_or_logs_the_reason(clip, tmp_path):
    path = Path("/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) / f"clip-{os.getpid()}.mp4"
    path.write_bytes(clip())
    path.chmod(0o644)
    try:
        completed = run_network(*NOBODY, path=path)
    finally:
        path.unlink()
    allowed = subprocess.run([*NOBODY, "unshare", "-Un", "true"], capture_output=True).returncode == 0
    assert completed.stdout == f"65534 {allowed} (2, 240, 416, 3)\n", completed.stderr
    assert ("less confined" in completed.stderr) == (not allowed)


@pytest.mark.skipif(not namespaces_allowed("-Ur"), reason="no user namespaces for this user")
def test_kernel_without_network_namespaces_is_logged_and_decoding_works(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    without_namespaces = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"', "sh"]
    completed = run_network(*without_namespaces, path=path)
    assert completed.stdout == "0 False (2, 240, 416, 3)\n", completed.stderr
    assert "it shares the server's network: unshare says" in completed.stderr


def test_script_without_a_main_guard_can_have_a_pool(clip, tmp_path):
    """Workers do not import the main script, as those that multiprocessing spawns would."""
    script = tmp_path / "script.py"
    script.write_text(NETWORK)
    (tmp_path / "clip.mp4").write_bytes(clip())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/clients"}
    command = [sys.executable, script, tmp_path / "clip.mp4"]
    completed = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert completed.returncode == 0, completed.stderr
    assert "(2, 240, 416, 3)" in completed.stdout
