"""A spinner on a terminal, for what takes longer than half a second."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

PATIENCE_S = 0.5
FRAME_S = 0.1
FRAMES = "|/-\\"
STDERR = 2
ERASE = "\r\x1b[K"

_running: Spinner | None = None


class Spinner:
    """Turns on stderr from half a second on, until it is stopped."""

    def __init__(self, text: str) -> None:
        self._text, self._over, self._drawn = text, Event(), False
        self._thread = Thread(target=self._turn, name="spinner", daemon=True)

    def start(self) -> None:
        """Start to wait."""
        self._thread.start()

    def stop(self) -> None:
        """Erase the spinner, if it was drawn; it does not come again."""
        self._over.set()
        self._thread.join()
        if self._drawn:
            self._drawn = False
            _write(ERASE)

    def _turn(self) -> None:
        turn, wait_s = 0, PATIENCE_S
        while not self._over.wait(wait_s):
            self._drawn, wait_s = True, FRAME_S
            _write(f"{ERASE}{FRAMES[turn % len(FRAMES)]} {self._text}")
            turn += 1


def _write(text: str) -> None:
    with suppress(OSError):
        os.write(STDERR, text.encode())


@contextmanager
def spinning(text: str, *, wanted: bool) -> Iterator[None]:
    """Show that the program works; anything that is written to a terminal ends it."""
    global _running
    if not (wanted and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
        yield
        return
    _running = Spinner(text)
    _running.start()
    try:
        yield
    finally:
        stop()


def stop() -> None:
    """End the spinner, before something else is written to the terminal."""
    global _running
    running, _running = _running, None
    if running:
        running.stop()
