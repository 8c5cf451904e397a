"""Files of this machine by path: regular files under allowed folders, reached without a symbolic link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from identity_reward_client.errors import InputRefused

from .input_budget import Allowance

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


def read_path(text: str, roots: Sequence[Path], what: str, allowance: Allowance) -> bytes:
    """The file's bytes. InputRefused or LimitExceeded, whose messages start with `what` and don't repeat the path.

    Each folder on the way is opened inside the one before it, so that what is read is what was checked, whatever is
    renamed meanwhile. Links below a root are refused, also those that stay inside; a root itself may be one.
    """
    root, below = _split(text, roots, what)
    try:
        return _read(root, below, what, allowance)
    except OSError as error:
        raise InputRefused(f"{what} can't be read: {_reason(error)}") from None


def _split(text: str, roots: Sequence[Path], what: str) -> tuple[Path, tuple[str, ...]]:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text:
        raise InputRefused(f"{what}: its path must be absolute, without ..")
    for root in roots:
        if path.is_relative_to(root) and path != root:
            return root, path.relative_to(root).parts
    raise InputRefused(f"{what}: its path isn't under a folder that this server reads from")


def _read(root: Path, below: tuple[str, ...], what: str, allowance: Allowance) -> bytes:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in below[:-1]:
            inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        # opening a device can have effects of its own, opening a pipe waits for its writer
        _check_regular(os.stat(below[-1], dir_fd=folder, follow_symlinks=False), what)
        file = os.open(below[-1], _OPEN | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(file, "rb", buffering=0) as opened:
        found = os.fstat(file)
        _check_regular(found, what)
        allowance.check(found.st_size, what)
        chunks = []
        while chunk := opened.read(_CHUNK):
            allowance.take(len(chunk), what)
            chunks.append(chunk)
    return b"".join(chunks)


def _check_regular(found: os.stat_result, what: str) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "")
    if not stat.S_ISREG(found.st_mode):
        raise InputRefused(f"{what}: its path names no regular file")


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a part of its path is a symbolic link, or no folder"
    return {errno.ENOENT: "no such file", errno.EACCES: "the server may not"}.get(error.errno or 0, "it failed")
