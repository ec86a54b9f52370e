"""Who may do what: the operator's token, sessions made of it, and how often a client may try.

What a browser keeps of a session is sealed with the token, so that it is good in every process of
one operator, and none is once the token is another. Those that were ended are kept by the server.
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
from facauth.web.ended import Ended
from facauth.web.refusals import Forbidden, forbidden
from facauth.web.site import Site

PORT = re.compile(r":[0-9]*\Z")


class Access:
    """Tells the operator from everybody else."""

    def __init__(self, site: Site) -> None:
        self._key = site.token.encode()
        self._session_s = site.limits.session_s
        self._ended = Ended(site.ended_sessions)
        # By https the certificate vouches for the name. Without, this is for this machine alone,
        # whose browser another site could have take its own name for this machine's.
        self._hosts = None if site.secure else {"", "localhost", site.host.lower()}
        # The prefix has browsers refuse it from anything but this very host, by https.
        self.cookie = "__Host-facauth" if site.secure else "facauth"

    def is_token(self, given: str) -> bool:
        """In constant time, whatever is given."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._key)

    def new_session(self) -> str:
        """What the browser of an operator keeps."""
        said = f"{int(time()) + self._session_s}.{secrets.token_urlsafe(16)}"
        return f"{said}.{self._seal('session', said)}"

    def is_session(self, cookie: str) -> bool:
        """Whether it was made here, has not run out and was not ended. Raises SetupProblem."""
        said, _, seal = cookie.rpartition(".")
        if not _same(seal, self._seal("session", said)):
            return False
        return int(said.partition(".")[0]) > time() and said not in self._ended

    def end(self, session: str) -> None:
        """It is none from now on, wherever the cookie is kept. Raises SetupProblem."""
        self._ended.add(session.rpartition(".")[0])

    def csrf(self, session: str) -> str:
        """What the forms of a session's pages send along."""
        return self._seal("csrf", session)

    def require_operator(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
        """The session, or "" for the token itself. Raises Forbidden for everybody else."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return ""
        session = self.session(cookies)
        if session is None:
            raise forbidden("operator.required", "only the operator may do this", "give the token")
        return session

    def session(self, cookies: Mapping[str, str]) -> str | None:
        """The session of a browser, if it has one."""
        session = cookies.get(self.cookie, "")
        return session if self.is_session(session) else None

    def require_meant(self, session: str, given: str | None) -> None:
        """Raises Forbidden unless a change came from one of the session's own pages.

        Who gives the token itself ("") has no session that others could ride on.
        """
        if session and not _same(given or "", self.csrf(session)):
            raise foreign()

    def require_own(self, headers: Mapping[str, str]) -> None:
        """Raises Forbidden for what another site had a browser send, under whatever name."""
        if headers.get("sec-fetch-site") == "cross-site":
            raise foreign()
        name = PORT.sub("", headers.get("host", "")).strip("[]").lower()
        if self._hosts is not None and name not in self._hosts and not _is_loopback(name):
            raise forbidden("server.name", "this server has another name", "go to localhost")

    def _seal(self, what: str, said: str) -> str:
        return hmac.new(
            self._key, f"{what} {said}".encode("utf-8", "replace"), "sha256"
        ).hexdigest()


def _is_loopback(name: str) -> bool:
    with suppress(ValueError):
        return ip_address(name).is_loopback
    return False


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def foreign() -> Forbidden:
    """What another site had a browser send."""
    return forbidden("operator.csrf", "this did not come from the page", "load the page again")


class Buckets:
    """A token bucket for each client: so many requests at once, refilled within a minute."""

    def __init__(
        self, per_minute: int, max_clients: int, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._size, self._max_clients, self._clock_s = per_minute, max_clients, clock_s
        self._full_at_s: dict[str, float] = {}  # when each bucket will be full again

    def take(self, client: str) -> None:
        """One request. Raises LockedOut, and then takes nothing."""
        now_s, each_s = self._clock_s(), 60 / self._size
        full_at_s = max(self._full_at_s.get(client, now_s), now_s) + each_s
        wait_s = full_at_s - now_s - 60
        if not wait_s <= 1e-6:
            reason = Reason("client.rate", "too many requests", "wait a moment")
            raise LockedOut(reason, retry_after_s=wait_s)
        if client not in self._full_at_s and len(self._full_at_s) >= self._max_clients:
            self._forget(now_s)
        self._full_at_s[client] = full_at_s

    def _forget(self, now_s: float) -> None:
        """Those with a full bucket; if there is none of them, all: memory is bounded first."""
        waiting = {each: at for each, at in self._full_at_s.items() if at > now_s}
        self._full_at_s = waiting if len(waiting) < self._max_clients else {}


def client_of(peer: str, forwarded_for: Sequence[str]) -> str:
    """Whom a request is counted against: an address, or for IPv6 the network of a household.

    forwarded_for: these headers, of which only the last address was written by the proxy itself.
    """
    said = ",".join(forwarded_for).rpartition(",")[2].strip() or peer
    try:
        address = ip_address(said)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.exploded[:19])  # the first 64 bits
    return str(address)
