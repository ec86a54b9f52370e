"""Encrypt a store, or give it another key: everything in it is sealed anew, in one transaction."""

from __future__ import annotations

from secrets import token_hex

from facauth.records.keys import KeyAccess, KeyKind, Lock, create, forget
from facauth.records.sealing import bound_master
from facauth.records.store import Store
from facauth.records.vault import Vault


def encrypt_anew(store: Store, kind: KeyKind, access: KeyAccess) -> Lock:
    """A new key for the store, kept as `kind` says, and new ones for everybody in it.

    A process that is killed leaves the store with its old key or with its new one, each in its
    place; only then is the old one forgotten. Raises SetupProblem.
    """
    before = store.lock()
    store_id = before.store_id if before else token_hex(16)
    generation = before.generation + 1 if before else 1
    kek, salt = create(kind, store_id, generation, access)
    vault = Vault.new()
    wrapped = vault.locked_by(kek, bound_master(store_id, generation))
    lock = Lock(store_id, kind, generation, salt, wrapped)
    with store.transaction():
        store.reseal(vault)
        store.use(lock, vault)
        store.log("key", "rotated" if before else "encrypted")
    forget(kind, store_id, generation, access)
    store.scrub()
    return lock
