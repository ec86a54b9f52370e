"""Workers: threads with networks of their own, behind a bounded queue that is fair to clients."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from facauth import system
from facauth.system import Stages
from facauth.web.probe import Probe, bind
from facauth.web.refusals import busy
from facauth.web.site import Site

Result = TypeVar("Result")
Bind = Callable[[Mapping[str, Probe]], Stages]  # the stages on these probes, by name
# A worker examines one photo at a time. For 50 megapixels Pillow takes 200 MB (four bytes each) and
# the pixels another 150 MB; bands, networks and the upload take the rest.
MAX_WORKER_MB = 512


class Places:
    """A number of places, of which one client gets at most half."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._max_per_client = max(1, number // 2)
        self._taken: Counter[str] = Counter()  # by client
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Take one place. Raises Busy."""
        with self._lock:
            full = self._taken.total() >= self._number
            if full or self._taken[client] >= self._max_per_client:
                raise busy()
            self._taken[client] += 1

    def release(self, client: str) -> None:
        """Give one place back."""
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


class FairQueue:
    """Waiting jobs. Clients take turns, each with the oldest of its own jobs."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], None]]] = {}  # by client; next client first
        self._lock = threading.Lock()

    def add(self, client: str, job: Callable[[], None]) -> None:
        """Add a job behind the client's other jobs."""
        with self._lock:
            self._waiting.setdefault(client, deque()).append(job)

    def take(self) -> Callable[[], None]:
        """The next job; its client then goes to the end of the queue."""
        with self._lock:
            client = next(iter(self._waiting))
            jobs = self._waiting.pop(client)
            job = jobs.popleft()
            if jobs:
                self._waiting[client] = jobs
            return job


class Workers:
    """Threads, each with networks of its own (some 100 MB), since a network runs once at a time.

    A worker takes at most MAX_WORKER_MB more while it examines a photo (tests/web/test_memory.py).

    Use it as a context manager. On entering every worker loads, which raises SetupProblem.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._local = threading.local()
        self._places = Places(site.workers * (1 + site.limits.waiting_per_worker))
        # Open cameras send previews all the time; these must not take the places of sign-ins.
        self._previews = Places(site.workers)
        self._queue = FairQueue()
        self._pool = ThreadPoolExecutor(site.workers, "worker")

    def __enter__(self) -> Workers:
        system.share_processors(self._site.workers)
        with ExitStack() as stack:
            # Python's warning filters belong to the process. If each photo set and restored them,
            # photos decoded at the same time would restore each other's.
            stack.enter_context(system.strict())
            stack.callback(self._pool.shutdown, cancel_futures=True)
            barrier = threading.Barrier(self._site.workers)
            list(self._pool.map(self._load, [barrier] * self._site.workers))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _load(self, barrier: threading.Barrier) -> None:
        barrier.wait()  # so that each thread loads once
        networks = system.load(self._site.weight_memory)
        max_pixels = self._site.limits.max_pixels
        self._local.bind = partial(bind, networks, max_pixels=max_pixels)

    async def run(
        self, job: Callable[[Bind], Result], client: str, *, preview: bool = False
    ) -> Result:
        """The result of a job. It runs to its end even if the client hangs up. Raises Busy."""
        places = self._previews if preview else self._places
        places.take(client)
        future: Future[Result] = Future()
        future.add_done_callback(lambda _: places.release(client))
        self._queue.add(client, lambda: self._run(job, future))
        self._pool.submit(lambda: self._queue.take()())
        return await asyncio.wrap_future(future)

    def _run(self, job: Callable[[Bind], Result], future: Future[Result]) -> None:
        if not future.set_running_or_notify_cancel():
            return  # the server stops
        try:
            with system.on_a_processor():
                found = job(self._local.bind)
            future.set_result(found)
        except BaseException as error:  # noqa: BLE001 - as ThreadPoolExecutor does
            future.set_exception(error)
