"""Starts the command line, as `facauth` and as `python -m facauth`.

Slow modules are imported within `main`, after Ctrl-C has its handler.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # ExitCode.INTERRUPTED


def main() -> NoReturn:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored
        signal.signal(signal.SIGINT, _leave)
    if sys.argv[1:2] == ["__complete"]:  # for a shell, which waits: without the command line
        from facauth.completing import main as complete

        complete(sys.argv[2:])
        os._exit(0)
    from facauth.cli import main as run

    run()


def _leave(_: int, __: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)


if __name__ == "__main__":  # not in the worker processes of spoof-check
    main()
