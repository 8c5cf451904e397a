"""Files by path, on a real file system with links, pipes, sockets and devices."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from identity_reward_client.errors import InputRefused, LimitExceeded
from service.media.input_budget import InputBudget
from service.media.local_paths import read_path


@pytest.fixture
def root(tmp_path):
    """An allowed folder with links, a pipe and a subfolder, beside a forbidden folder."""
    root = tmp_path / "clips"
    (root / "deep/er").mkdir(parents=True)
    (root / "a.mp4").write_bytes(b"a clip")
    (root / "deep/er/b.mp4").write_bytes(b"deeper")
    (tmp_path / "clips-secret").mkdir()
    secret = tmp_path / "clips-secret/s"
    secret.write_bytes(b"secret")
    (root / "link").symlink_to(secret)
    (root / "relative").symlink_to("../clips-secret/s")
    (root / "inside").symlink_to("a.mp4")
    (root / "folder").symlink_to(secret.parent)
    os.mkfifo(root / "pipe")
    return root


def read(path, root, max_bytes=1 << 20) -> bytes:
    return read_path(str(path), [root], "the video", InputBudget(max_bytes))


def test_regular_files_below_a_root_are_read(root):
    assert read(root / "a.mp4", root) == b"a clip"
    assert read(root / "deep/er/b.mp4", root) == b"deeper"
    assert read(f"{root}//deep/./er/b.mp4", root) == b"deeper"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{root}", "isn't under a folder"),
        ("{root}-secret/s", "isn't under a folder"),
        ("/etc/passwd", "isn't under a folder"),
        ("//etc/passwd", "isn't under a folder"),
        ("/dev/zero", "isn't under a folder"),
        ("a.mp4", "must be absolute, without .."),
        ("", "must be absolute"),
        ("{root}/../clips-secret/s", "without .."),
        ("{root}/a.mp4\0.jpg", "must be absolute"),
        ("file://{root}/a.mp4", "must be absolute"),
        ("{root}/link", "symbolic link"),
        ("{root}/relative", "symbolic link"),
        ("{root}/inside", "symbolic link"),
        ("{root}/folder/s", "symbolic link, or not a folder"),
        ("{root}/a.mp4/x", "symbolic link, or not a folder"),
        ("{root}/gone", "no such file"),
        ("{root}/gone/x", "no such file"),
        ("{root}/" + "x" * 300, "reading failed"),
        ("{root}/deep", "not that of a regular file"),
        ("{root}/pipe", "not that of a regular file"),
    ],
)
def test_other_paths_are_refused_without_repeating_them(root, path, message):
    with pytest.raises(InputRefused) as caught:
        read(path.format(root=root), root)
    assert message in caught.value.message
    assert caught.value.message.startswith("the video")
    assert "clips" not in caught.value.message


def test_sockets_and_devices_are_refused(root):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        with pytest.raises(InputRefused, match="not that of a regular file"):
            read(root / "socket", root)
    with pytest.raises(InputRefused, match="not that of a regular file"):
        read("/dev/zero", Path("/dev"))


def test_a_root_may_be_a_link(root, tmp_path):
    (tmp_path / "named").symlink_to(root)
    assert read(tmp_path / "named/a.mp4", tmp_path / "named") == b"a clip"


def test_the_size_is_checked_before_reading(root, monkeypatch):
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with monkeypatch.context() as patch:
        patch.setattr(InputBudget, "use", lambda *_: pytest.fail("read before the check"))
        with pytest.raises(LimitExceeded) as caught:
            read(root / "sparse", root)
    assert caught.value.details == {"limit": "max_body_bytes", "maximum": 1 << 20}
    assert read(root / "a.mp4", root, max_bytes=6) == b"a clip"
    with pytest.raises(LimitExceeded):
        read(root / "a.mp4", root, max_bytes=5)


def test_bytes_are_counted_while_a_file_without_a_size_is_read():
    """Files of /proc have a size of 0."""
    with pytest.raises(LimitExceeded):
        read(f"/proc/{os.getpid()}/smaps", Path("/proc"), max_bytes=1000)


def test_a_folder_swapped_for_a_link_during_reads_never_leads_outside(root, tmp_path):
    """Checking a path and opening it afterwards would lose this race."""
    (root / "swap").mkdir()
    (root / "swap/s").write_bytes(b"inside")
    (tmp_path / "out").symlink_to(tmp_path / "clips-secret")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename(root / "swap", tmp_path / "kept")
            os.rename(tmp_path / "out", root / "swap")
            os.rename(root / "swap", tmp_path / "out")
            os.rename(tmp_path / "kept", root / "swap")

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes = {"read": 0, "refused": 0}
    try:
        deadline = time.monotonic() + 60
        while (sum(outcomes.values()) < 2000 or not all(outcomes.values())) and time.monotonic() < deadline:
            try:
                assert read(root / "swap/s", root) == b"inside"
                outcomes["read"] += 1
            except InputRefused:
                outcomes["refused"] += 1
    finally:
        stop.set()
        thread.join()
    assert outcomes["read"]
    assert outcomes["refused"]
