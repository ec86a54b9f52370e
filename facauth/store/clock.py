"""The clocks of a store; tests set others."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime


def since_boot_s() -> float:
    """Seconds since this machine was started, sleep included where the system counts it."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day in seconds, which users can set, and the time since the start."""

    world_s: Callable[[], float] = time.time
    boot_s: Callable[[], float] = since_boot_s

    def read_s(self) -> tuple[float, float]:
        """Both clocks."""
        return self.world_s(), self.boot_s()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.fromtimestamp(self.world_s(), UTC)

    def stamp(self) -> str:
        """The time of day, as it is stored."""
        return stamp(self.now())


def stamp(moment: datetime) -> str:
    """A time as it is stored: UTC, ISO 8601, whole seconds."""
    return moment.isoformat(timespec="seconds")


SYSTEM = Clock()

# The clock of stores that are opened without one; None: that of their engine. Tests set others.
binding: ContextVar[Clock | None] = ContextVar("clock", default=None)
