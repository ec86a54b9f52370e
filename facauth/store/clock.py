"""The clocks that a store goes by; tests bring others."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime


def since_boot_s() -> float:
    """How long this machine has been up, asleep or not, where that can be told."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Clock:
    """The world's time in seconds, which can be set; and that since the start, which cannot."""

    world_s: Callable[[], float] = time.time
    boot_s: Callable[[], float] = since_boot_s

    def read_s(self) -> tuple[float, float]:
        """Both."""
        return self.world_s(), self.boot_s()

    def now(self) -> datetime:
        """The world's time, in UTC."""
        return datetime.fromtimestamp(self.world_s(), UTC)

    def stamp(self) -> str:
        """The world's time, as times are stored."""
        return stamp(self.now())


def stamp(moment: datetime) -> str:
    """As times are stored: UTC, ISO 8601, whole seconds."""
    return moment.isoformat(timespec="seconds")


SYSTEM = Clock()

# The clock of stores that are opened without one: this machine's. Tests bind others.
binding: ContextVar[Clock] = ContextVar("clock", default=SYSTEM)
