"""Where a store is: a file, or a database of a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from facauth.errors import Reason, UsageProblem, shown

SCHEMES = ("postgresql://", "postgres://")
# Parameters of libpq's URIs that are secrets (PostgreSQL's manual, 32.1.2).
SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a store in a PostgreSQL server; it never holds a password."""

    uri: str = field(repr=False)  # as libpq takes it

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises UsageProblem for a password: other users see the arguments of a process."""
        from urllib.parse import parse_qsl, urlsplit

        try:
            parts = urlsplit(text)
            secrets = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)} & {
                *SECRETS
            }
        except ValueError:
            raise _unusable("the address of the store is not a URI", "see docs/reference") from None
        # By hand: of several hosts, which libpq takes, `parts.password` knows only the first.
        if secrets or ":" in parts.netloc.rpartition("@")[0]:
            message = "the address of a store holds no password"
            raise _unusable(message, "put it into ~/.pgpass, or name a service file")
        return cls(text)

    def __str__(self) -> str:
        """As messages name it: without parameters."""
        return self.uri.partition("?")[0]


Place = Path | Address


def place_of(text: str) -> Place:
    """The place that a text names. Raises UsageProblem for an address with a password."""
    return Address.parse(text) if text.startswith(SCHEMES) else Path(text)


def file_of(place: Place, advice: str) -> Path:
    """The file, for what only files need. Raises UsageProblem with this advice for a database."""
    if isinstance(place, Path):
        return place
    message = f"{shown(place)} is in PostgreSQL, which has tools of its own for that"
    raise UsageProblem(Reason("store.in_database", message, advice))


def _unusable(message: str, advice: str) -> UsageProblem:
    return UsageProblem(Reason("store.address", message, advice))
