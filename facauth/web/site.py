"""The settings of one server, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facauth.admin import KeyAccess
    from facauth.places import Place
    from facauth.settings import SpoofPolicy
    from facauth.web.results import Results


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Limits of requests. Beyond them a request is refused, with 408, 413, 422 or 503."""

    max_body_bytes: int = 32 * 2**20  # of a form with a photo; JPEGs of phones have less than 25 MB
    max_photos: int = 8  # of one person in one form
    max_frames: int = 80  # of a camera in one form: ten seconds at eight a second
    max_frame_bytes: int = 300 * 2**10  # 640 x 480 at quality .8 takes a quarter of it
    max_frames_bytes: int = 8 * 2**20
    max_frames_ms: int = 30_000  # from the first frame to the last
    max_pixels: int = 50_000_000  # of a photo; phones make that many. WebP and AVIF: half
    max_small_body_bytes: int = 4096  # of a form without a photo
    max_buffered_bytes: int = 128 * 2**20  # of all uploads, waiting and running requests together
    max_text_bytes: int = 4096  # of a text field; a consent has up to 1,000 characters
    max_fields: int = 8
    upload_s: float = 60.0  # 32 MB at 4.5 Mbit/s
    headers_s: float = 10.0  # from the start of a connection to the end of its headers
    stop_s: int = 30  # time for running requests after the signal to stop
    waiting_per_worker: int = 32  # requests; some ten seconds of its work
    session_s: int = 8 * 3600  # a working day
    max_clients: int = 10_000  # clients whose request rates are remembered


@dataclass(frozen=True, slots=True)
class Site:
    """One server."""

    host: str
    port: int
    store: Place
    keys: KeyAccess
    token: str = field(repr=False)  # the operator's
    ended_sessions: Path  # a folder that all servers of the operator share
    policy: SpoofPolicy
    rate: float | None  # share of strangers that may pass; see settings.asked_rate
    workers: int
    behind_proxy: bool
    per_minute: int  # attempts of one client
    weight_memory: Path | None
    tls: tuple[Path, Path] | None = None  # certificate chain and key
    results: Results | None = None  # of sign-ins, for the page that visitors go on to
    kiosk: bool = False  # the page goes back to its start by itself
    limits: WebLimits = WebLimits()
    # The search blocks of a large store, for all workers: 1 KB a person, from 1,000 people on.
    memory: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def secure(self) -> bool:
        """Whether browsers use HTTPS."""
        return self.behind_proxy or self.tls is not None

    @property
    def camera_only(self) -> bool:
        """Whether nobody signs in with a file."""
        return self.policy.challenge_required
