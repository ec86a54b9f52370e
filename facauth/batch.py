"""Many photos: the files in folders, and several processes that examine them."""

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

Photo = TypeVar("Photo")  # a path, or an object with one
Found = TypeVar("Found")

FEW = 16  # photos that one process examines while others load their networks
MAX_JOBS = 8  # without --jobs


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
    """The number of processes to start; 1 for stdin, which only this process has."""
    if STDIN in photos:
        return 1
    worthwhile = 1 if len(photos) <= FEW else min(os.cpu_count() or 1, MAX_JOBS)
    return min(wanted or worthwhile, len(photos))


def in_order(
    make: Callable[[], Callable[[Photo], Found]], photos: Sequence[Photo], jobs: int
) -> Iterator[Found]:
    """The result of `make()` for each photo, in order.

    make: called once per process, where it loads the networks; must be picklable if jobs > 1.
    """
    if jobs == 1:
        yield from map(make(), photos)
        return
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (make,))
    with _signals(SIGPIPE=signal.SIG_IGN), _ended(pool):  # a worker's pipe is not stdout
        with _ctrl_c_waits():  # workers inherit it: Ctrl-C is for this process alone
            found = pool.map(_look, photos)
        yield from found


@contextmanager
def _ended(pool: ProcessPoolExecutor) -> Iterator[None]:
    """End the workers on exit; Ctrl-C does not wait for the photos that they examine."""
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
    before = {
        name: signal.signal(signal.Signals[name], handler) for name, handler in handlers.items()
    }
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(signal.Signals[name], handler)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block; processes that are started within ignore it."""
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
    networks.processors = networks.Processors(0)


def _end_with_parent() -> None:
    """A parent that is killed, for example by a closed pipe, cannot end its workers."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


@cache
def _ready() -> Callable[[Any], object]:
    """Called by the first photo, so that an error of `_make` is reported as an error of a photo."""
    return _make()


def _look(photo: Any) -> Any:
    return _ready()(photo)
