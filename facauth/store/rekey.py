"""Encrypt a store, or give it another key: everything in it is sealed anew, in one transaction."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from secrets import token_hex

from facauth.errors import Conflict, Reason, shown
from facauth.store.faults import unfit
from facauth.store.keys import KeyAccess, KeyKind, Lock, create, forget, write_copy
from facauth.store.sealing import bound_master
from facauth.store.store import Store
from facauth.store.vault import Vault


def encrypt(path: Path, kind: KeyKind, access: KeyAccess) -> Lock:
    """Encrypt the store at `path`, or make one that is, with a new key kept as `kind` says.

    Raises Conflict if it is encrypted, SetupProblem, and UsageProblem for a passphrase that
    cannot be; in all cases nothing has changed, but that a key nobody needs may have been kept.
    """
    if os.path.lexists(path):
        with Store.open(path) as store:
            _require_plain(store)
    vault, lock = _made(token_hex(16), kind, 1, access)  # no store is made if this fails
    with Store.open(path, create=True) as store:
        _require_plain(store)
        _put_on(store, vault, lock, "encrypted")
    return lock


def rotate(store: Store, access: KeyAccess) -> Lock:
    """Another key of the same kind for an encrypted store; then the old one is forgotten.

    A process that is killed leaves the store with its old key or with its new one, each in its
    place. Raises as `encrypt` does.
    """
    before = _locked(store)
    vault, lock = _made(before.store_id, before.kind, before.generation + 1, access)
    _put_on(store, vault, lock, "rotated")
    forget(lock.kind, lock.store_id, lock.generation, access)
    return lock


def export(store: Store, target: Path) -> Lock:
    """A key file that opens the store, in a place where there is none.

    Raises SetupProblem, and UsageProblem if there is something at `target`.
    """
    lock = _locked(store)
    kek = store.kek(lock)  # which checks it: the key file may be another one by now
    # The event first: of a copy that nobody was told of nothing would remain.
    told = partial(store.log, "key", "exported")
    write_copy(target, lock.store_id, lock.generation, kek, before=told)
    return lock


def _made(store_id: str, kind: KeyKind, generation: int, access: KeyAccess) -> tuple[Vault, Lock]:
    kek, salt = create(kind, store_id, generation, access)
    vault = Vault.new()
    wrapped = vault.locked_by(kek, bound_master(store_id, generation))
    return vault, Lock(store_id, kind, generation, salt, wrapped)


def _put_on(store: Store, vault: Vault, lock: Lock, verdict: str) -> None:
    with store.transaction() as change:
        change.encrypt(lock, vault)
        change.log("key", verdict)


def _require_plain(store: Store) -> None:
    if store.lock() is not None:
        what = f"{shown(store.path)} is encrypted already"
        raise Conflict(Reason("key.already", what, "run facauth key rotate for another key"))


def _locked(store: Store) -> Lock:
    """The lock of an encrypted store, which is open."""
    store.vault()
    lock = store.lock()
    if lock is None:
        raise unfit("key.not_encrypted", store.path, "is not encrypted", "run facauth key init")
    return lock
