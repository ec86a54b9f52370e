"""What one server is told at its start, and the numbers that bound what it takes in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facauth.records.keys import KeyAccess
    from facauth.records.means import Memory
    from facauth.settings import SpoofPolicy


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Whatever is beyond them is refused, with 408, 413, 422 or 503."""

    max_body_bytes: int = 32 * 2**20  # of a form with a photo; no phone's JPEG has 25 MB
    max_pixels: int = 50_000_000  # of a photo; what phones make. Of WebP and AVIF half
    max_small_body_bytes: int = 4096  # of a form without one
    max_buffered_bytes: int = 128 * 2**20  # of all that is being uploaded, waits or is worked on
    max_text_bytes: int = 4096  # of a field that is no file; a consent has 1,000 characters
    max_fields: int = 8
    upload_s: float = 60.0  # 32 MB at 4.5 Mbit/s
    headers_s: float = 10.0  # from a connection's start to the end of its headers
    stop_s: int = 30  # how long running requests are waited for
    waiting_each: int = 32  # requests that wait for one worker: some ten seconds of its work
    session_s: int = 8 * 3600  # a working day
    max_clients: int = 10_000  # whose requests are counted at a time


@dataclass(frozen=True, slots=True)
class Site:
    """One server."""

    host: str
    port: int
    store: Path
    keys: KeyAccess
    token: str = field(repr=False)  # of the operator
    ended_sessions: Path  # a folder that all servers of this operator have
    policy: SpoofPolicy
    rate: float | None  # share of strangers that may pass; see settings.asked_rate
    workers: int
    behind_proxy: bool
    per_minute: int  # requests of one client that change or try something
    weight_memory: Path | None
    tls: tuple[Path, Path] | None = None  # certificate chain and key
    limits: WebLimits = WebLimits()
    # What a large store is searched by, for all workers: 1 KB a person, from 1,000 people on.
    memory: Memory = field(default_factory=dict, repr=False, compare=False)

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return self.behind_proxy or self.tls is not None
