"""Whose sign-ins wait after too many failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facauth.records import Locked

if TYPE_CHECKING:
    from facauth.store.person import Person
    from facauth.store.store import Store


def locked(store: Store) -> list[Locked]:
    """All lock-outs; that of sign-ins without a name first."""
    found = list[Locked]()
    with store.snapshot():
        people = [(row.name, store.person(row.name)) for row in store.people()]
        subjects: list[tuple[str | None, Store | Person]] = [(None, store), *people]
        for name, subject in subjects:
            lock = subject.locked()
            if lock:
                found.append(Locked(name, subject.failures(), lock.retry_after_s))
    return found
