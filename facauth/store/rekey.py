"""Encrypt a store, or give it a new key: all data is sealed again, in one transaction."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from secrets import token_hex

from facauth.errors import Conflict, Reason, shown
from facauth.places import Place
from facauth.store.faults import unfit
from facauth.store.keys import KeyAccess, KeyKind, Lock, create, forget, write_copy
from facauth.store.sealing import bound_master
from facauth.store.store import Store, exists
from facauth.store.vault import Vault


def encrypt(place: Place, kind: KeyKind, access: KeyAccess) -> Lock:
    """Encrypt the store at `place`, or create an encrypted one, with a new key of this kind.

    Raises Conflict if it is encrypted, SetupProblem, and UsageProblem for an unusable passphrase.
    Then the store has not changed; an unused key may have been kept.
    """
    if exists(place):
        with Store.made(place) as store:
            _require_plain(store)
    vault, lock = _new_vault(token_hex(16), kind, 1, access)  # no store is created if this fails
    with Store.made(place) as store:
        _require_plain(store)
        _put_on(store, vault, lock, "encrypted")
    return lock


def rotate(store: Store, access: KeyAccess) -> Lock:
    """Give an encrypted store a new key of the same kind, and forget the old key.

    A killed process leaves the store with its old key or with its new key, each in its place.
    Raises as `encrypt` does.
    """
    before = _locked(store)
    vault, lock = _new_vault(before.store_id, before.kind, before.generation + 1, access)
    _put_on(store, vault, lock, "rotated")
    forget(lock.kind, lock.store_id, lock.generation, access)
    return lock


def export(store: Store, target: Path) -> Lock:
    """Write the key into a new key file.

    Raises SetupProblem, and UsageProblem if `target` exists.
    """
    lock = _locked(store)
    kek = store.kek(lock)  # checks it: the key file may have been replaced
    # The event first, so that the log has every copy of the key.
    log_export = partial(store.log, "key", "exported")
    write_copy(target, lock.store_id, lock.generation, kek, before=log_export)
    return lock


def _new_vault(
    store_id: str, kind: KeyKind, generation: int, access: KeyAccess
) -> tuple[Vault, Lock]:
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
        what = f"{shown(store.place)} is encrypted already"
        raise Conflict(Reason("key.already", what, "run facauth key rotate for a new key"))


def _locked(store: Store) -> Lock:
    """The lock of an open, encrypted store."""
    store.vault()
    lock = store.lock()
    if lock is None:
        raise unfit("key.not_encrypted", store.place, "is not encrypted", "run facauth key init")
    return lock
