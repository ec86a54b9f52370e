"""Keep other processes from reading this one's environment and memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

PASSPHRASES = ("FACAUTH_PASSPHRASE", "FACAUTH_NEW_PASSPHRASE", "FACAUTH_EXPORT_PASSPHRASE")
PR_SET_DUMPABLE = 4  # of prctl(2)


def keep_secrets(*, long: bool) -> None:
    """Prevent core dumps, and remove passphrases from what the system shows of this process.

    A limit of 0 keeps the kernel from writing core files; child processes inherit it. A process
    that is not dumpable also sends no core to a program such as systemd-coredump, and debuggers of
    the same user cannot attach. That needs ctypes, so only processes that have a passphrase or run
    long do it.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    given = [name for name in PASSPHRASES if name in os.environ]
    if given or long:
        _forbid_dumps()
    for name in given:
        _overwrite(name)


def _forbid_dumps() -> None:
    """On Linux, core dumps and /proc/PID/mem are for root alone. Elsewhere this does nothing."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _overwrite(name: str) -> None:
    """Overwrite the value that the process was started with.

    /proc/PID/environ and `ps e` show that memory for as long as the process runs; unsetenv only
    drops the pointer to it. os.environ keeps its own copy, from which the value is read later;
    child processes do not inherit it.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        getenv = ctypes.CDLL(None).getenv
        getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        value = getenv(os.fsencode(name))
        if value:
            ctypes.memset(value, 0, len(ctypes.string_at(value)))
    os.unsetenv(name)
