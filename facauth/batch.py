"""Many photos: the files in a folder, and several processes to look at them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, get_context, parent_process
from typing import Any, TypeVar

from facauth.errors import STDIN, Reason, UsageProblem, shown
from facauth.faces.folder import is_folder, photos_below

Photo = TypeVar("Photo")  # a path, or what else is known of one
Found = TypeVar("Found")

FEW = 16  # photos that one process has looked at before others have loaded their networks
MAX_JOBS = 8  # of its own accord


def photos_in(names: Sequence[str]) -> list[str]:
    """The names, each folder replaced by the photos below it.

    Raises UsageProblem for a folder that holds none or cannot be read.
    """
    return [photo for name in names for photo in (_below(name) if is_folder(name) else [name])]


def _below(folder: str) -> list[str]:
    found = photos_below(folder)
    if not found:
        raise UsageProblem(
            Reason("image.no_photos", f"there are no photos in {shown(folder)}", "check the path")
        )
    return found


def jobs_for(photos: Sequence[str], wanted: int | None) -> int:
    """How many processes to start. Only this one has a stdin."""
    if STDIN in photos:
        return 1
    worthwhile = 1 if len(photos) <= FEW else min(os.cpu_count() or 1, MAX_JOBS)
    return min(wanted or worthwhile, len(photos))


def in_order(
    make: Callable[[], Callable[[Photo], Found]], photos: Sequence[Photo], jobs: int
) -> Iterator[Found]:
    """What `make()` finds in each photo, in their order.

    make: called once per process, where it loads the networks; must be picklable if jobs > 1.
    """
    if jobs == 1:
        yield from map(make(), photos)
        return
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (make,))
    with _signals(SIGPIPE=signal.SIG_IGN), _ended(pool):  # a worker's pipe is not stdout
        with _ctrl_c_waits():  # inherited: it is for this process alone
            found = pool.map(_look, photos)
        yield from found


@contextmanager
def _ended(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Afterwards no worker is left; Ctrl-C does not wait for the photos they are looking at."""
    try:
        yield
    except KeyboardInterrupt:
        for worker in active_children():
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _signals(**handlers: signal.Handlers) -> Iterator[None]:
    before = {name: signal.signal(signal.Signals[name], each) for name, each in handlers.items()}
    try:
        yield
    finally:
        for name, each in before.items():
            signal.signal(signal.Signals[name], each)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C is held back, not lost; for good in processes that are started within."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_make: Callable[[], Callable[[Any], object]]  # in a worker process


def _begin(make: Callable[[], Callable[[Any], object]]) -> None:
    from facauth import networks

    global _make
    _make = make
    threading.Thread(target=_end_with_parent, daemon=True).start()
    networks.THREADS = 1  # the other processors have workers of their own


def _end_with_parent() -> None:
    """A parent that was killed, say by a closed pipe, cannot end its workers."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


@cache
def _ready() -> Callable[[Any], object]:
    """Made by the first photo, so that what fails is reported as a photo's failure is."""
    return _make()


def _look(photo: Any) -> Any:
    return _ready()(photo)
