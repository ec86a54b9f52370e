"""The same work on many photos, in one process or in several; the answers keep the order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Tools = TypeVar("Tools")
Item = TypeVar("Item")
Found = TypeVar("Found")

PORTION = 4  # photos that a process is given at a time

_bench: dict[str, Any] = {}  # of a worker process: what it works with, made when first needed


def each(
    work: Callable[[Tools, Item], Found],
    tools: Callable[[], Tools],
    items: Sequence[Item],
    jobs: int,
) -> Iterator[Found]:
    """`work(tools(), item)` of every item; each process makes its tools once.

    With several jobs all that is passed in must be picklable.
    """
    if jobs == 1:
        made = tools()
        yield from (work(made, item) for item in items)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _settle, (work, tools)) as processes:
        try:
            yield from processes.map(_do, items, chunksize=PORTION)
        except BaseException:  # Ctrl-C too: nobody waits for photos that nobody asks for
            processes.shutdown(wait=False, cancel_futures=True)
            raise


def _settle(work: Callable[[Any, Any], Any], tools: Callable[[], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    _bench.update(work=work, make=tools)


def _do(item: Any) -> Any:
    if "tools" not in _bench:
        _bench["tools"] = _bench["make"]()
    return _bench["work"](_bench["tools"], item)
