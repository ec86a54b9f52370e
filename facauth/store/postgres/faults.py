"""The errors of PostgreSQL, as SetupProblem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from facauth.errors import SetupProblem, shown
from facauth.extras import pip_install
from facauth.store.faults import RESTORE, unfit

if TYPE_CHECKING:
    from types import ModuleType

    import psycopg

    from facauth.places import Place

LOST = ("store.lost", "does not answer: its connection was lost", "try again when it is back")
READ_ONLY = ("store.read_only", "cannot be written", "name the server that can be written")
RIGHTS = "give this role the rights that docs/how-to/servers.md names"
NEW = "facauth key init creates it"
BUSY = ("store.busy", "is held by another process", "try again")
# SQLSTATE, or its first two characters (PostgreSQL's manual, appendix A) -> code, what, advice.
FAULTS = {
    "08": LOST,
    "0A000": READ_ONLY,  # BEGIN READ WRITE on a standby
    "25006": READ_ONLY,
    "25P03": ("store.busy", "waited too long for this command", "try again"),
    "28": ("store.rights", "does not let this role in", "check the role and its password"),
    "3D000": ("store.missing", "does not exist", "create the database first"),
    "3F000": ("store.missing", "holds no store", NEW),
    "40": BUSY,
    "42501": ("store.rights", "does not allow this to its role", RIGHTS),
    "42P01": ("store.missing", "holds no store", NEW),
    "53100": ("store.full", "cannot grow: the disk is full", "free some space"),
    "53300": ("store.busy", "has no connection left", "try again, or raise max_connections"),
    "53": ("store.full", "is short of memory or space", "see the log of the server"),
    "55P03": BUSY,
    "57014": ("store.busy", "did not finish in time", "try again, or raise statement_timeout"),
    "57": LOST,
    "58": ("store.io", "cannot be read or written", "see the log of the server"),
    "XX": ("store.damaged", "is damaged", RESTORE),
}
UNFORESEEN = ("store.unusable", "cannot be used", "run facauth doctor")


def driver(place: Place) -> ModuleType:
    """psycopg. Raises SetupProblem if it is not installed."""
    try:
        import psycopg
    except ImportError:
        what = "is in PostgreSQL, and the postgres extra is not installed"
        raise unfit("store.no_driver", place, what, pip_install("postgres")) from None
    return psycopg


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn errors of PostgreSQL into SetupProblem; wrap statements, never the code of a caller."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise problem(place, error) from error
    except (UnicodeError, OverflowError, ValueError) as error:  # of values that it cannot hold
        raise unfit(*_placed(UNFORESEEN, place)) from error


def problem(place: Place, error: psycopg.Error) -> SetupProblem:
    """The refusal that explains an error."""
    import psycopg

    state = error.sqlstate or ""
    found = FAULTS.get(state) or FAULTS.get(state[:2])
    if not found:
        lost = isinstance(error, psycopg.OperationalError) and not state
        found = LOST if lost else UNFORESEEN
    return unfit(*_placed(found, place))


def unreachable(place: Place, error: Exception) -> SetupProblem:
    """The refusal of a server that cannot be reached, in libpq's words: they hold no password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no answer"]
    failed = [line for line in lines if "failed: " in line] or lines  # others are hints
    reason = shown(failed[-1].rpartition("failed: ")[2])
    what = f"cannot be reached ({reason.removeprefix('FATAL:').strip()})"
    return unfit("store.unreachable", place, what, "check the address, the server and the role")


def _placed(fault: tuple[str, str, str], place: Place) -> tuple[str, Place, str, str]:
    code, what, advice = fault
    return code, place, what, advice
