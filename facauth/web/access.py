"""Who may do what: the operator's token, the sessions made from it, and a limit for each client.

A session is a cookie that is sealed with the token. Every server of one operator accepts it, and
none does once the token has changed. The server remembers which sessions have ended.

The seal is an HMAC of the standard library: a signing package would replace six lines of it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from time import monotonic, time

from facauth.errors import LockedOut, Reason
from facauth.web.ended_sessions import EndedSessions
from facauth.web.refusals import Forbidden, forbidden
from facauth.web.site import Site

PORT = re.compile(r":[0-9]*\Z")


class Access:
    """Tells the operator from everybody else."""

    def __init__(self, site: Site) -> None:
        self._key = site.token.encode()
        self._session_s = site.limits.session_s
        self._ended = EndedSessions(site.ended_sessions)
        # With HTTPS the certificate vouches for the host name. Without it, only this machine may
        # connect, and another site could point a name of its own at it (DNS rebinding).
        self._hosts = None if site.secure else {"", "localhost", site.host.lower()}
        # With this prefix, browsers accept the cookie over HTTPS and from this host only.
        self.cookie = "__Host-facauth" if site.secure else "facauth"

    def is_token(self, text: str) -> bool:
        """Whether this is the operator's token; in constant time."""
        return hmac.compare_digest(text.encode("utf-8", "surrogatepass"), self._key)

    def new_session(self) -> str:
        """A session, as the value of a cookie: `expiry.random.seal`."""
        session = f"{int(time()) + self._session_s}.{secrets.token_urlsafe(16)}"
        return f"{session}.{self._seal('session', session)}"

    def is_valid_session(self, cookie: str) -> bool:
        """Whether the seal is right and the session has neither expired nor ended.

        Raises SetupProblem if the ended sessions cannot be read.
        """
        session, _, seal = cookie.rpartition(".")
        if not _equal(seal, self._seal("session", session)):
            return False
        return int(session.partition(".")[0]) > time() and session not in self._ended

    def end_session(self, cookie: str) -> None:
        """End a session for every copy of its cookie. Raises SetupProblem."""
        self._ended.add(cookie.rpartition(".")[0])

    def csrf_token(self, cookie: str) -> str:
        """The token that the forms of this session's pages send back."""
        return self._seal("csrf", cookie)

    def require_operator(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
        """The session's cookie, or "" for a bearer token. Raises Forbidden for everybody else."""
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(credentials.strip()):
            return ""
        session = self.session_of(cookies)
        if session is None:
            message = "only the operator may do this"
            raise forbidden("operator.required", message, "send the operator's token")
        return session

    def session_of(self, cookies: Mapping[str, str]) -> str | None:
        """The cookie of a valid session, or None."""
        cookie = cookies.get(self.cookie, "")
        return cookie if self.is_valid_session(cookie) else None

    def require_csrf_token(self, session: str, token: str | None) -> None:
        """Raises Forbidden unless a change was sent by a page of the session.

        session: as require_operator returns it; a bearer token ("") needs no CSRF token.
        """
        if session and not _equal(token or "", self.csrf_token(session)):
            raise cross_site()

    def require_same_site(self, headers: Mapping[str, str]) -> None:
        """Raises Forbidden for a request that another site made a browser send."""
        if headers.get("sec-fetch-site") == "cross-site":
            raise cross_site()
        name = PORT.sub("", headers.get("host", "")).strip("[]").lower()
        if self._hosts is not None and name not in self._hosts and not _is_loopback(name):
            message = "this server does not answer to that host name"
            raise forbidden("server.name", message, "open it as localhost")

    def _seal(self, purpose: str, text: str) -> str:
        message = f"{purpose} {text}".encode("utf-8", "replace")
        return hmac.new(self._key, message, "sha256").hexdigest()


def _is_loopback(name: str) -> bool:
    with suppress(ValueError):
        return ip_address(name).is_loopback
    return False


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def cross_site() -> Forbidden:
    """The refusal of a request that another site made a browser send."""
    message = "this request was not sent by the page of this server"
    return forbidden("operator.csrf", message, "reload the page and try again")


class RateLimit:
    """A token bucket for each client: `per_minute` requests at once, refilled within a minute."""

    def __init__(
        self, per_minute: int, max_clients: int, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._per_minute, self._max_clients, self._clock_s = per_minute, max_clients, clock_s
        self._full_at_s: dict[str, float] = {}  # when each client's bucket is full again

    def take(self, client: str) -> None:
        """Count one request. Raises LockedOut if it is one too many, and then counts nothing."""
        now_s, refill_s = self._clock_s(), 60 / self._per_minute
        full_at_s = max(self._full_at_s.get(client, now_s), now_s) + refill_s
        wait_s = full_at_s - now_s - 60
        if not wait_s <= 1e-6:
            reason = Reason("client.rate", "too many requests", "wait a moment")
            raise LockedOut(reason, retry_after_s=wait_s)
        if client not in self._full_at_s and len(self._full_at_s) >= self._max_clients:
            self._forget(now_s)
        self._full_at_s[client] = full_at_s

    def _forget(self, now_s: float) -> None:
        """Drop full buckets; if none is full, drop all: bounded memory comes first."""
        waiting = {client: at for client, at in self._full_at_s.items() if at > now_s}
        self._full_at_s = waiting if len(waiting) < self._max_clients else {}


def client_address(peer: str, forwarded_for: Sequence[str]) -> str:
    """The address that a request counts against; for IPv6 its first 64 bits, one household's.

    forwarded_for: the X-Forwarded-For headers. Only their last address was written by the proxy.
    """
    last = ",".join(forwarded_for).rpartition(",")[2].strip() or peer
    try:
        address = ip_address(last)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.exploded[:19])
    return str(address)
