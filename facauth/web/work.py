"""The workers: threads with networks of their own, and a bounded queue before them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from facauth import networks
from facauth.faces.image import strict
from facauth.networks import Checked, Networks
from facauth.web.refusals import busy
from facauth.web.site import Site

Found = TypeVar("Found")


class Workers:
    """A network must not run twice at a time, so each thread has its own: 100 MB or so.

    Use it as a context manager; on entering every worker loads, which raises SetupProblem.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._mine = threading.local()
        self._places = threading.BoundedSemaphore(site.workers * (1 + site.limits.waiting_each))
        # Cameras ask all the time; none of them takes a place from who is signing in.
        self._previews = threading.BoundedSemaphore(site.workers)
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

    async def run(self, job: Callable[[Networks], Found], *, preview: bool = False) -> Found:
        """What a job gives; a photo whose client has gone is still looked at. Raises Busy."""
        places = self._previews if preview else self._places
        if not places.acquire(blocking=False):
            raise busy()
        future = self._pool.submit(lambda: job(self._mine.networks))
        future.add_done_callback(lambda _: places.release())
        return await asyncio.wrap_future(future)
