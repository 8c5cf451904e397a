"""Local files by path: regular files under allowed folders, reached without a symbolic link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from identity_reward_client.errors import InputRefused

from .input_budget import InputBudget

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


def read_path(text: str, roots: Sequence[Path], label: str, budget: InputBudget) -> bytes:
    """The file's bytes. Raises InputRefused or LimitExceeded; messages start with `label` and don't repeat the path.

    Each folder of the path is opened relative to the one before it: what is read is what was checked, even if
    something is renamed meanwhile. Links below a root are refused, also those that stay inside it; a root may be one.
    """
    root, parts = _split(text, roots, label)
    try:
        return _read(root, parts, label, budget)
    except OSError as error:
        raise InputRefused(f"{label} can't be read: {_reason(error)}") from None


def _split(text: str, roots: Sequence[Path], label: str) -> tuple[Path, tuple[str, ...]]:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text:
        raise InputRefused(f"{label}: its path must be absolute, without ..")
    for root in roots:
        if path.is_relative_to(root) and path != root:
            return root, path.relative_to(root).parts
    raise InputRefused(f"{label}: its path isn't under a folder that this server reads from")


def _read(root: Path, parts: tuple[str, ...], label: str, budget: InputBudget) -> bytes:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in parts[:-1]:
            child = os.open(name, _OPEN_FLAGS | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = child
        # checked before it is opened: opening a device can have effects, opening a pipe waits for its writer
        _check_regular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), label)
        descriptor = os.open(parts[-1], _OPEN_FLAGS | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        _check_regular(status, label)
        budget.check(status.st_size, label)
        chunks = []
        while chunk := file.read(_CHUNK_BYTES):
            budget.use(len(chunk), label)
            chunks.append(chunk)
    return b"".join(chunks)


def _check_regular(status: os.stat_result, label: str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "")
    if not stat.S_ISREG(status.st_mode):
        raise InputRefused(f"{label}: its path is not that of a regular file")


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a part of its path is a symbolic link, or not a folder"
    reasons = {errno.ENOENT: "no such file", errno.EACCES: "the server has no permission"}
    return reasons.get(error.errno or 0, "reading failed")
