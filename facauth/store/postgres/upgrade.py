"""Migration of an older store in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facauth.store.change import Change
from facauth.store.clock import binding
from facauth.store.keys import NO_KEYS, KeyAccess
from facauth.store.opened import Opened
from facauth.store.postgres.database import upgraded
from facauth.store.postgres.engine import PostgresWriter
from facauth.store.upgraded import Migration

if TYPE_CHECKING:
    from facauth.places import Address


def migrate(place: Address, keys: KeyAccess = NO_KEYS) -> Migration:
    """Bring the store at `place` to the current tables, or leave it as it was.

    Raises SetupProblem, also for a missing store, and without its key, which its log needs.
    """
    with upgraded(place) as (db, before, after):
        if before < after:
            writer = PostgresWriter(db)
            opened = Opened(writer, keys, binding.get() or writer.clock)
            opened.vault()
            Change(opened, writer).log("migrate", "migrated")
    return Migration(before, after, None)
