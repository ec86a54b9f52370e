"""What others on this machine could read of this process: its environment, and its memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

PASSPHRASES = ("FACAUTH_PASSPHRASE", "FACAUTH_NEW_PASSPHRASE", "FACAUTH_EXPORT_PASSPHRASE")
PR_SET_DUMPABLE = 4  # of prctl(2)


def keep_secrets(*, long: bool) -> None:
    """No core dump, and no passphrase in what the system shows of this process.

    A limit of 0 keeps the kernel from writing core files, and is inherited by other processes. Only
    a process that is not dumpable sends none to a program such as systemd-coredump either, and is
    not open to debuggers of the same user. That takes ctypes, so it is for those that have a
    passphrase, and for those that run long.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    given = [name for name in PASSPHRASES if name in os.environ]
    if given or long:
        _forbid_dumps()
    for name in given:
        _overwrite(name)


def _forbid_dumps() -> None:
    """Linux: neither core dumps nor /proc/PID/mem for anybody but root. Elsewhere: nothing."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _overwrite(name: str) -> None:
    """Zeros in place of the value that the process was started with.

    /proc/PID/environ and `ps e` show that memory for as long as the process runs; unsetenv only
    drops the pointer to it. os.environ keeps its own copy, from which the value is read later;
    processes that are started do not inherit it.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        getenv = ctypes.CDLL(None).getenv
        getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        value = getenv(os.fsencode(name))
        if value:
            ctypes.memset(value, 0, len(ctypes.string_at(value)))
    os.unsetenv(name)
