"""The workers: threads with networks of their own, and bounded queues before them, in turn."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from facauth import networks
from facauth.faces.image import strict
from facauth.networks import Checked, Networks
from facauth.web.refusals import busy
from facauth.web.site import Site

Found = TypeVar("Found")
# A worker looks at one photo at a time. Of 50 megapixels Pillow has 200 MB (four bytes each), the
# pixels are another 150 MB, and bands, networks and the upload itself have the rest.
MAX_WORKER_MB = 512


class Places:
    """So many at a time, and no client more than half of them, or one could keep out the rest."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._each = max(1, number // 2)
        self._taken: Counter[str] = Counter()  # by client
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """One place. Raises Busy."""
        with self._lock:
            if self._taken.total() >= self._number or self._taken[client] >= self._each:
                raise busy()
            self._taken[client] += 1

    def give_back(self, client: str) -> None:
        """One place."""
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


class Turns:
    """What waits, by client: whose turn it was goes to the end of the line."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def add(self, client: str, job: Callable[[], None]) -> None:
        """At the end of the client's own line."""
        with self._lock:
            self._waiting.setdefault(client, deque()).append(job)

    def take(self) -> Callable[[], None]:
        """The next job, of another client than the last one if another waits."""
        with self._lock:
            client = next(iter(self._waiting))
            line = self._waiting.pop(client)
            job = line.popleft()
            if line:
                self._waiting[client] = line
            return job


class Workers:
    """A network must not run twice at a time, so each thread has its own: 100 MB or so.

    A worker has at most MAX_WORKER_MB more while it looks at a photo (tests/web/test_memory.py).

    Use it as a context manager; on entering every worker loads, which raises SetupProblem.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._mine = threading.local()
        self._places = Places(site.workers * (1 + site.limits.waiting_each))
        # Cameras ask all the time; none of them takes a place from who is signing in.
        self._previews = Places(site.workers)
        self._turns = Turns()
        self._pool = ThreadPoolExecutor(site.workers, "worker")

    def __enter__(self) -> Workers:
        if self._site.workers > 1:
            networks.THREADS = 1  # the other processors have workers of their own
        with ExitStack() as stack:
            # Warnings are the process's: were each photo to set and restore them, those decoded
            # side by side would restore what the other had set.
            stack.enter_context(strict())
            stack.callback(self._pool.shutdown, cancel_futures=True)
            everybody = threading.Barrier(self._site.workers)
            list(self._pool.map(self._load, [everybody] * self._site.workers))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _load(self, everybody: threading.Barrier) -> None:
        everybody.wait()  # so that no thread takes this twice
        self._mine.networks = Networks(Checked(self._site.weight_memory))
        self._mine.networks.load()

    async def run(
        self, job: Callable[[Networks], Found], client: str, *, preview: bool = False
    ) -> Found:
        """What a job gives; a photo whose client has gone is still looked at. Raises Busy."""
        places = self._previews if preview else self._places
        places.take(client)
        future: Future[Found] = Future()
        future.add_done_callback(lambda _: places.give_back(client))
        self._turns.add(client, lambda: self._do(job, future))
        self._pool.submit(lambda: self._turns.take()())
        return await asyncio.wrap_future(future)

    def _do(self, job: Callable[[Networks], Found], future: Future[Found]) -> None:
        if not future.set_running_or_notify_cancel():
            return  # the server stops
        try:
            future.set_result(job(self._mine.networks))
        except BaseException as error:  # noqa: BLE001 - as ThreadPoolExecutor does
            future.set_exception(error)
