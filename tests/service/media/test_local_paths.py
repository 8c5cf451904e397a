"""Files by path, on a real file system with everything in it that isn't a plain file."""

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
    """A root beside a folder with a secret, and links and odd files in it."""
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


def read(path, root, most=1 << 20) -> bytes:
    return read_path(str(path), [root], "the video", InputBudget(most))


def test_plain_files_below_a_root_are_read(root):
    assert read(root / "a.mp4", root) == b"a clip"
    assert read(root / "deep/er/b.mp4", root) == b"deeper"
    assert read(f"{root}//deep/./er/b.mp4", root) == b"deeper"


@pytest.mark.parametrize(
    ("path", "says"),
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
def test_everything_else_is_refused_without_its_name(root, path, says):
    with pytest.raises(InputRefused) as caught:
        read(path.format(root=root), root)
    assert says in caught.value.message
    assert caught.value.message.startswith("the video")
    assert "clips" not in caught.value.message


def test_sockets_and_devices_are_no_files(root):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "socket"))
        with pytest.raises(InputRefused, match="not that of a regular file"):
            read(root / "socket", root)
    with pytest.raises(InputRefused, match="not that of a regular file"):
        read("/dev/zero", Path("/dev"))


def test_a_root_may_be_a_link(root, tmp_path):
    (tmp_path / "named").symlink_to(root)
    assert read(tmp_path / "named/a.mp4", tmp_path / "named") == b"a clip"


def test_size_is_known_before_reading(root):
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    started = time.monotonic()
    with pytest.raises(LimitExceeded) as caught:
        read(root / "sparse", root)
    assert time.monotonic() - started < 1
    assert caught.value.details == {"limit": "max_body_bytes", "maximum": 1 << 20}
    assert read(root / "a.mp4", root, most=6) == b"a clip"
    with pytest.raises(LimitExceeded):
        read(root / "a.mp4", root, most=5)


def test_a_file_that_claims_to_be_empty_is_counted_while_it_is_read():
    """Those of /proc say 0 bytes."""
    with pytest.raises(LimitExceeded):
        read(f"/proc/{os.getpid()}/smaps", Path("/proc"), most=1000)


def test_a_folder_swapped_for_a_link_while_files_are_read_never_leads_outside(root, tmp_path):
    """The race that checking a path and opening it afterwards would lose."""
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
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
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
