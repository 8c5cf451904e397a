"""Confinement of a process that decodes untrusted files."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_MAX_OPEN_FILES = 64


def give_up_privileges(max_bytes: int) -> list[str]:
    """Limits this process's address space to `max_bytes`; removes network, file writing, core dumps, new privileges.

    Call it while the process has one thread. Returns a sentence for each measure that failed, with the reason.
    """
    return [*_leave_network(), *_bound_resources(max_bytes)]


def _leave_network() -> list[str]:
    """Enters an empty network namespace, in a new user namespace unless the process is root."""
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
