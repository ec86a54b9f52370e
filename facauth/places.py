"""Where a store is: a file, or a database of a PostgreSQL server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from facauth.errors import Reason, UsageProblem, shown

SCHEMES = ("postgresql://", "postgres://")
# Other URIs, and libpq's other form of an address: "host=… password=…".
OTHER_ADDRESSES = (
    r"[a-z][a-z0-9+.-]+://|postgres(ql)?:"
    r"|(.*\s)?(host|hostaddr|port|dbname|user|password|service)\s*="
)
# Parameters of libpq's URIs that are secrets (PostgreSQL's manual, 32.1.2).
SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a store in a PostgreSQL server; it never holds a password."""

    uri: str = field(repr=False)  # as libpq takes it

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises UsageProblem for a password: other users see the arguments of a process.

        By hand: libpq reads / ? # and @ in a password otherwise than urllib does. So a colon before
        the last @ is refused wherever it stands, and a name is taken for a parameter after any ?.
        """
        from urllib.parse import unquote

        rest = text.partition("://")[2]
        named = {unquote(part.partition("=")[0]) for part in re.split("[?&]", rest)[1:]}
        if named & {*SECRETS} or ":" in unquote(rest.rpartition("@")[0]):
            message = "the address of a store holds no password"
            raise _unusable(message, "put it into ~/.pgpass, or name a service file")
        return cls(text)

    def __str__(self) -> str:
        """As messages name it: without parameters."""
        return self.uri.partition("?")[0]


Place = Path | Address


def place_of(text: str) -> Place:
    """The place that a text names.

    Raises UsageProblem for an address with a password, and for one that is not a URI of PostgreSQL:
    as the name of a file it would be shown, with its password.
    """
    if text.startswith(SCHEMES):
        return Address.parse(text)
    if re.match(OTHER_ADDRESSES, text, re.IGNORECASE):
        raise _unusable("that is not the address of a store", "give a path, or postgresql://…")
    return Path(text)


def file_of(place: Place, advice: str) -> Path:
    """The file, for what only files need. Raises UsageProblem with this advice for a database."""
    if isinstance(place, Path):
        return place
    message = f"{shown(place)} is in PostgreSQL, which has tools of its own for that"
    raise UsageProblem(Reason("store.in_database", message, advice))


def _unusable(message: str, advice: str) -> UsageProblem:
    return UsageProblem(Reason("store.address", message, advice))
