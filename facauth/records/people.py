"""The commands that need nothing but the store: remove, rename and purge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from facauth.records.roster import PersonRow
from facauth.records.store import Store
from facauth.structs import PersonName


def remove(store: Store, *names: PersonName) -> None:
    """Delete people so that no byte of encodings or signatures stays in the store."""
    with store.transaction(erasing=True):
        for name in names:
            store.log("remove", "removed", name=store.known_as(name))
            store.remove(name)


def rename(store: Store, old: PersonName, new: PersonName) -> None:
    """Give a person another name; photos and history stay."""
    with store.transaction():
        store.rename(old, new)
        store.log("rename", "renamed", name=new.text)


def unused_for(people: Sequence[PersonRow], period: timedelta) -> list[PersonRow]:
    """Those whose last sign-in, or enrolment if there was none, is longer ago than that."""
    limit = (datetime.now(UTC) - period).isoformat(timespec="seconds")
    return [row for row in people if max(row.last_sign_in_at or "", row.enrolled_at) < limit]
