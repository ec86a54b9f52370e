"""The commands that need nothing but the store: remove and rename."""

from __future__ import annotations

from facauth.records.store import Store
from facauth.structs import PersonName


def remove(store: Store, name: PersonName) -> None:
    """Delete a person so that no byte of encodings or signatures stays in the store."""
    with store.transaction():
        store.remove(name)
        store.log("remove", "removed")
    store.scrub()


def rename(store: Store, old: PersonName, new: PersonName) -> None:
    """Give a person another name; photos and history stay."""
    with store.transaction():
        store.rename(old, new)
        store.log("rename", "renamed", name=new.text)
