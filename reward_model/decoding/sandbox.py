"""What a process that reads strangers' files gives up first."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_MAX_OPEN_FILES = 64


def give_up_privileges(max_bytes: int) -> list[str]:
    """Bounds this process's address space, and takes the network, writing files, core dumps and new privileges away.

    To be called while the process has one thread. Gives what could not be done, and why; [] when all was.
    """
    return [*_leave_network(), *_bound_resources(max_bytes)]


def _leave_network() -> list[str]:
    """Into an empty network namespace: root's own right; anyone else's in a user namespace of their own."""
    if sys.platform != "linux":
        return [f"it shares the server's network: {sys.platform} has no network namespaces"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return []
    return [f"it shares the server's network: unshare says {os.strerror(ctypes.get_errno())!r}"]


def _bound_resources(max_bytes: int) -> list[str]:
    failed = []
    for name, value in (
        ("RLIMIT_AS", max_bytes),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NOFILE", _MAX_OPEN_FILES),
    ):
        limit = getattr(resource, name)
        _, hard = resource.getrlimit(limit)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(limit, (lowered, lowered))
        except (OSError, ValueError) as error:
            failed.append(f"{name} could not be set: {error}")
    return failed
