"""Kills a process with SIGKILL at its n-th writing system call, by ptrace: no tool is needed.

The work runs in a fork of this process, so everything it imports should be imported before, and
no SQLite connection may be open. What counts as writing is in SYSTEM_CALLS, as far as it concerns
a file in the watched folder. A write into mapped memory is no system call; SQLite maps only -shm,
which it makes anew when the first process opens a store.

This is the death of a process, not of a machine: what was written before it stays written.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

Work = Callable[[], object]


class Mode(StrEnum):
    """When the process dies."""

    BEFORE = "before"  # the call never takes place
    HALF = "half"  # the first half of the bytes is written
    AFTER = "after"  # the call has taken place, but the process never learns of it


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that is about to write to the watched folder."""

    name: str
    path: str  # within the folder; the last one where there are two
    written_bytes: int | None  # None where it does not write bytes that can be halved

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Which deaths it can have."""
        halves = self.written_bytes is not None and self.written_bytes > 1
        return tuple(mode for mode in Mode if halves or mode is not Mode.HALF)

    def __str__(self) -> str:
        size = "" if self.written_bytes is None else f", {self.written_bytes} bytes"
        return f"{self.name}({self.path}{size})"


# Name, number on x86_64 and on aarch64 (None: not there), and what the arguments are: (f)ile
# descriptor, (d)escriptor of the folder that the next path starts at, (p)ath, (c)reating flags
# (without O_CREAT and O_TRUNC it is no writing), (n)umber of bytes, - anything else. What is
# called with ! makes a process or a thread, which would write unseen.
SYSTEM_CALLS: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("write", 1, 64, "f-n"),
    ("pwrite64", 18, 68, "f-n"),
    ("writev", 20, 66, "f"),
    ("pwritev", 296, 70, "f"),
    ("pwritev2", 328, 287, "f"),
    ("sendfile", 40, 71, "f"),
    ("copy_file_range", 326, 285, "--f"),
    ("fsync", 74, 82, "f"),
    ("fdatasync", 75, 83, "f"),
    ("truncate", 76, 45, "p"),
    ("ftruncate", 77, 46, "f"),
    ("fallocate", 285, 47, "f"),
    ("open", 2, None, "pc"),
    ("creat", 85, None, "p"),
    ("openat", 257, 56, "dpc"),
    ("rename", 82, None, "pp"),
    ("renameat", 264, 38, "dpdp"),
    ("renameat2", 316, 276, "dpdp"),
    ("link", 86, None, "pp"),
    ("linkat", 265, 37, "dpdp"),
    ("symlink", 88, None, "-p"),
    ("symlinkat", 266, 36, "-dp"),
    ("unlink", 87, None, "p"),
    ("unlinkat", 263, 35, "dp"),
    ("mkdir", 83, None, "p"),
    ("mkdirat", 258, 34, "dp"),
    ("rmdir", 84, None, "p"),
    ("chmod", 90, None, "p"),
    ("fchmod", 91, 52, "f"),
    ("fchmodat", 268, 53, "dp"),
    ("chown", 92, None, "p"),
    ("fchown", 93, 55, "f"),
    ("fchownat", 260, 54, "dp"),
    ("clone", 56, 220, "!"),
    ("clone3", 435, 435, "!"),
    ("fork", 57, None, "!"),
    ("vfork", 58, None, "!"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a system call is in the registers of NT_PRSTATUS (linux/elf.h, asm/ptrace.h)."""

    number: int
    arguments: tuple[int, ...]
    calls: dict[int, tuple[str, str]]  # number -> name, what the arguments are


def _machines() -> dict[str, Machine]:
    calls = SYSTEM_CALLS
    intel = {number: (name, what) for name, number, _, what in calls if number is not None}
    arm = {number: (name, what) for name, _, number, what in calls if number is not None}
    return {
        "x86_64": Machine(15, (14, 13, 12, 7, 9, 8), intel),  # orig_rax; rdi rsi rdx r10 r8 r9
        "aarch64": Machine(8, (0, 1, 2, 3, 4, 5), arm),
    }


MACHINE = _machines().get(platform.machine()) if sys.platform == "linux" else None

# linux/ptrace.h, linux/elf.h
TRACEME, SYSCALL, SETOPTIONS, GETREGSET, SETREGSET = 0, 24, 0x4200, 0x4204, 0x4205
TRACE_SYSCALL_GOOD, KILL_ON_EXIT = 1, 0x100000
AT_SYSCALL = signal.SIGTRAP | 0x80
NT_PRSTATUS = 1
AT_FDCWD = -100
LONGEST_PATH_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def why_not() -> str | None:
    """Why nothing can be killed here; None where it can."""
    if MACHINE is None:
        return f"kills need Linux on x86_64 or aarch64, not {sys.platform}, {platform.machine()}"
    try:
        with Child(lambda: None) as child:
            for _ in child.calls(Path("/")):
                pass
    except OSError as error:
        return f"ptrace is not allowed here ({error.strerror})"
    return None


def calls(work: Work, folder: Path) -> list[Call]:
    """Every writing call of the work, which runs to its end. Raises Failed if it fails."""
    with Child(work) as child:
        return list(child.calls(folder))


def kill(work: Work, folder: Path, number: int, mode: Mode) -> Call:
    """Run the work and kill it at its writing call `number`, from 0; the call it died of.

    Raises Failed if the work fails before it, or has no such call.
    """
    with Child(work) as child:
        for at, call in enumerate(child.calls(folder)):
            if at == number:
                if mode is Mode.HALF:
                    child.halve()
                if mode is not Mode.BEFORE:
                    child.to_next_stop()
                return call
    raise Failed(f"it ended before its writing call {number}")


class Failed(Exception):
    """The work raised something, or is no work for this harness."""


class Child:
    """A fork that runs `work`, stops around every system call, and dies with the `with`."""

    def __init__(self, work: Work) -> None:
        self._ended = False
        self._registers = (ctypes.c_ulong * 64)()
        self._complaints, complain = os.pipe()
        with warnings.catch_warnings():
            # From Python 3.12 on: threads of the parent, such as those of OpenCV, are not in it.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            _be_traced(work, complain)
        os.close(complain)

    def __enter__(self) -> Self:
        _, status = os.waitpid(self._pid, 0)
        self._ended = os.WIFEXITED(status)
        if self._ended:
            os.close(self._complaints)
            raise PermissionError(os.WEXITSTATUS(status), os.strerror(os.WEXITSTATUS(status)))
        self._request(SETOPTIONS, 0, TRACE_SYSCALL_GOOD | KILL_ON_EXIT)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._ended:
            os.kill(self._pid, signal.SIGKILL)
            while not os.WIFSIGNALED(os.waitpid(self._pid, 0)[1]):
                pass
        os.close(self._complaints)

    def calls(self, folder: Path) -> Iterator[Call]:
        """Each writing call before it takes place, in turn, until the work has ended."""
        watched = os.path.realpath(folder)
        while self.to_next_stop():
            call = self._call(watched)
            if call is not None:
                yield call
            if not self.to_next_stop():  # the call was exit_group
                return

    def to_next_stop(self) -> bool:
        """On to the begin or end of a system call; False: the work has ended, well."""
        passed_on = 0
        while True:
            self._request(SYSCALL, 0, passed_on)
            _, status = os.waitpid(self._pid, 0)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                self._ended = True
                self._require_success(status)
                return False
            if os.WSTOPSIG(status) == AT_SYSCALL:
                return True
            passed_on = os.WSTOPSIG(status)

    def halve(self) -> None:
        """Let the call that is about to write bytes write only the first half of them."""
        assert MACHINE
        vector = self._read_registers()
        self._registers[MACHINE.arguments[2]] //= 2
        self._request(SETREGSET, NT_PRSTATUS, ctypes.addressof(vector))

    def _call(self, watched: str) -> Call | None:
        assert MACHINE
        self._read_registers()
        name, what = MACHINE.calls.get(self._registers[MACHINE.number], ("", ""))
        if what == "!":
            raise Failed("it makes a process or a thread, which would write unseen")
        arguments = [self._registers[at] for at in MACHINE.arguments]
        if "c" in what and not arguments[what.index("c")] & (os.O_CREAT | os.O_TRUNC):
            return None
        inside = [path for path in self._paths(what, arguments) if _within(path, watched)]
        if not inside:
            return None
        size = arguments[what.index("n")] if "n" in what else None
        return Call(name, os.path.relpath(inside[-1], watched), size)

    def _paths(self, what: str, arguments: list[int]) -> Iterator[str]:
        start = AT_FDCWD
        for kind, value in zip(what, arguments, strict=False):
            if kind == "f":
                yield self._opened(value)
            elif kind == "d":
                start = ctypes.c_int(value).value
            elif kind == "p":
                yield os.path.normpath(os.path.join(self._opened(start), self._text(value)))  # noqa: PTH118

    def _opened(self, descriptor: int) -> str:
        link = "cwd" if descriptor == AT_FDCWD else f"fd/{descriptor}"
        try:
            return os.readlink(f"/proc/{self._pid}/{link}")  # noqa: PTH115 - Path would cost more
        except FileNotFoundError:  # not open: the call will fail
            return ""

    def _text(self, address: int) -> str:
        """The path at an address; memory may end soon after it, so not all is read at once."""
        text = b""
        with open(f"/proc/{self._pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            while b"\0" not in text and len(text) < LONGEST_PATH_BYTES:
                memory.seek(address + len(text))
                text += memory.read(256 - (address + len(text)) % 256)
        return os.fsdecode(text.partition(b"\0")[0])

    def _read_registers(self) -> _Vector:
        vector = _Vector(ctypes.addressof(self._registers), ctypes.sizeof(self._registers))
        self._request(GETREGSET, NT_PRSTATUS, ctypes.addressof(vector))
        return vector

    def _request(self, request: int, address: int, data: int) -> None:
        if _ptrace(request, self._pid, address, data):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def _require_success(self, status: int) -> None:
        if status:
            said = os.read(self._complaints, 65536).decode(errors="replace")
            raise Failed(said or f"it ended with status {os.waitstatus_to_exitcode(status)}")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _be_traced(work: Work, complain: int) -> None:
    """The child's whole life. It leaves without cleaning up what belongs to its parent."""
    try:
        if _ptrace(TRACEME, 0, None, None):
            os._exit(ctypes.get_errno())
        os.kill(os.getpid(), signal.SIGSTOP)
        work()
    except BaseException:  # noqa: BLE001 - told to the parent, which raises it
        os.write(complain, traceback.format_exc().encode()[-65536:])
        os._exit(1)
    os._exit(0)
