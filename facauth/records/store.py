"""The encoding store: one SQLite file, 0600, in a folder that is 0700 if facauth makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from facauth.errors import FacauthError, LockedOut, Reason, SetupProblem
from facauth.names import folded
from facauth.records import arrivals, limits, log
from facauth.records.arrivals import Sealed
from facauth.records.attempt import Attempt, codes, worth_an_event
from facauth.records.backup import discard_backups
from facauth.records.database import Database, exposure
from facauth.records.faults import RESTORE, unfit
from facauth.records.keys import KeyAccess, KeyKind, Lock
from facauth.records.log import Broken, Event
from facauth.records.roster import Roster, unknown
from facauth.records.sealing import bound_master
from facauth.records.vault import SealBroken, Vault
from facauth.settings import LIMITS
from facauth.structs import PersonName

NO_KEYS = KeyAccess()
LOOKS_AHEAD = 3  # before a change that others keep overtaking is judged under the lock
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class EnrolledPhotos:
    """A person's id, whatever becomes of the name, and what finds their photos again."""

    uid: str
    signatures: list[bytes | None]


class _Changed(Exception):
    """People or photos are no longer those that were looked at."""


class Store(Roster):
    """An open store. Use it as a context manager; nothing is written outside `transaction`."""

    def __init__(self, db: Database, keys: KeyAccess, *, limited: bool = True) -> None:
        super().__init__(db)
        self._keys = keys
        self._limited = limited
        self._vault: Vault | None = None

    @classmethod
    def open(cls, path: Path, keys: KeyAccess = NO_KEYS, *, create: bool = False) -> Self:
        """Open the store at `path`, or make it if `create`; its key is looked for when needed.

        Raises SetupProblem if there is none, and for anything that is not a sound facauth store of
        this version.
        """
        if create and keys.key_file is not None and not os.path.lexists(path):
            raise not_encrypted(path)  # nothing is there that the key could be for
        return cls(Database.open(path, create=create), keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave it; what `with` does at its end."""
        self._db.close()

    def in_memory(self) -> Self:
        """A copy for trials, without attempt limits: what is changed there is never written."""
        copy = type(self)(self._db.in_memory(), self._keys, limited=False)
        copy._vault = self._vault
        return copy

    @property
    def warnings(self) -> list[str]:
        """What is wrong with who may open the file, or change the folder that it is in."""
        return exposure(self.path)

    @contextmanager
    def transaction(self, *, erasing: bool = False) -> Iterator[None]:
        """All or nothing, and alone: other writers wait, and read what was written.

        erasing: of what is deleted in it nothing stays, in the write-ahead log or in a backup of
        ours. The backups go first: who is killed here and tries again finds nothing to delete.
        """
        self.vault()
        with self._db.transaction():
            yield
            if erasing:
                self.forget_expired()
                discard_backups(self.path)
        if erasing:
            self._db.empty_log()

    @contextmanager
    def judged(self, look: Callable[[], Found], *, erasing: bool = False) -> Iterator[Found]:
        """A transaction in which what `look` finds out about the people holds.

        It looks before, and again if they were changed meanwhile; at last within the transaction.
        """
        for _ in range(LOOKS_AHEAD):
            with self.snapshot():
                seen, found = self._people_state(), look()
            with suppress(_Changed), self.transaction(erasing=erasing):
                if self._people_state() != seen:
                    raise _Changed
                yield found
                return
        with self.transaction(erasing=erasing):
            yield look()

    def _people_state(self) -> tuple[object, ...]:
        """Another one whenever people or photos are: every such change is an event as well."""
        (newest,) = self._db.one(
            """SELECT id FROM events
            WHERE command NOT IN ('sign-in', 'unlock', 'export') OR verdict = 'learned'
            ORDER BY id DESC LIMIT 1"""
        ) or (0,)
        counted = self._db.one("SELECT count(*), max(id) FROM templates") or ()
        return (newest, *counted)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment, whatever others write; write nothing yourself."""
        self.vault()
        with self._db.snapshot():
            yield

    # --- the key ---------------------------------------------------------------------------------

    def lock(self) -> Lock | None:
        """What the key must open; None in a store that is not encrypted."""
        row = self._db.one("SELECT store_id, kind, generation, salt, wrapped_master FROM key_lock")
        if row is None:
            return None
        store_id, kind, *rest = row
        try:
            return Lock(store_id, KeyKind(kind), *rest)
        except ValueError:
            raise unfit("store.damaged", self.path, "has a damaged lock", RESTORE) from None

    def vault(self) -> Vault | None:
        """The opened key; None in a store that is not encrypted.

        Raises SetupProblem without the key, with a wrong one, and where one is named for nothing:
        then somebody may have put another store in the place of the encrypted one.
        """
        lock = self.lock()
        if lock is None:
            if self._keys.key_file is not None:
                raise not_encrypted(self.path)
            return None
        if self._vault is None:
            try:
                self._vault = self.opened_by(self.kek(lock), lock)
            except SetupProblem:
                self._db.require_unchanged()  # another process may have rotated the key just now
                raise
        return self._vault

    def kek(self, lock: Lock) -> bytes:
        """The key of the lock, from where it is kept; see KeyAccess."""
        return self._keys.kek(lock)

    def opened_by(self, kek: bytes, lock: Lock) -> Vault:
        """What a key opens; raises SetupProblem if it is not the key of this lock."""
        bound = bound_master(lock.store_id, lock.generation)
        try:
            return Vault.opened(kek, lock.wrapped_master, bound)
        except SealBroken:
            advice = "name the key of this store"
            raise unfit("key.wrong", self.path, "is not opened by this key", advice) from None

    def use(self, lock: Lock, vault: Vault) -> None:
        """Put another lock on the store. Call it within a transaction, and write with it after."""
        self._db.write(
            "INSERT OR REPLACE INTO key_lock VALUES (1, ?, ?, ?, ?, ?)",
            lock.store_id,
            lock.kind,
            lock.generation,
            lock.salt,
            lock.wrapped_master,
        )
        log.anchor_anew(self._db, self._anchor, vault.anchor)
        self._vault = vault

    def _anchor(self, data: bytes) -> bytes | None:
        return self._vault.anchor(data) if self._vault else None

    # --- log and limits --------------------------------------------------------------------------

    def log(
        self,
        command: str,
        verdict: str,
        reasons: str | None = None,
        name: str = "",
        error_rate: float | None = None,
    ) -> None:
        """Append one event; in a transaction it stands or falls with that."""
        if not self._db.in_transaction:
            with self.transaction():
                self.log(command, verdict, reasons, name, error_rate)
            return
        self._append(command, verdict, reasons, self._uid(name), error_rate)

    def _append(
        self,
        command: str,
        verdict: str,
        reasons: str | None,
        uid: str | None,
        error_rate: float | None,
    ) -> None:
        log.append(self._db, self._anchor, command, verdict, reasons, uid, error_rate)
        if verdict == "signed_in":
            self._db.write("UPDATE people SET last_sign_in_at = ? WHERE uid = ?", log.now(), uid)

    def enrolled(self, name: str) -> EnrolledPhotos:
        """Of the person with this name. Raises Conflict if nobody has it."""
        return EnrolledPhotos(self.uid(name), self.signatures(name))

    def uid(self, name: str) -> str:
        """The random id of whoever has this name now, which stays theirs whatever they are called.

        Raises Conflict if nobody has it.
        """
        uid = self._uid(name)
        if uid is None:
            raise unknown(PersonName.parse(name))
        return uid

    def _uid(self, name: str) -> str | None:
        row = self._db.one(
            "SELECT uid FROM people WHERE name_key = ? AND name = ?", folded(name), name
        )
        return row[0] if row else None

    def write_arrivals(self, people: Sequence[Sealed]) -> None:
        """People and events. Call it within a transaction, in which nobody has one of the names."""
        arrivals.write(self._db, people)
        entries = [("import", "imported", None, each.uid, None) for each in people]
        log.append_all(self._db, self._anchor, entries)

    @contextmanager
    def recorded(self, command: str) -> Iterator[None]:
        """Every refusal becomes an event before it goes on its way."""
        try:
            yield
        except FacauthError as refusal:
            if worth_an_event(refusal):
                self.log(command, refusal.verdict, codes(refusal))
            raise

    @contextmanager
    def attempt(self, claimed: str | None, *, error_rate: float | None = None) -> Iterator[Attempt]:
        """A sign-in, which counts as failed before anything is looked at; then how it ends.

        Raises LockedOut, before or then; Conflict if nobody has the claimed name.
        """
        attempt = Attempt(self, LIMITS if self._limited else None, error_rate)
        try:
            attempt.begin(claimed)
            yield attempt
        except FacauthError as refusal:
            attempt.refuse(refusal)
            raise

    def failures(self, name: str | None) -> int:
        """Failures in a row of a person, or (None) of sign-ins that name nobody."""
        tries = limits.read(self._db, self._subject(name))
        return tries.failures if tries else 0

    def locked(self, name: str | None) -> LockedOut | None:
        """Why a sign-in of a person, or (None) one that names nobody, is refused now, if it is."""
        try:
            limits.require_subject_unlocked(self._db, self._subject(name), LIMITS)
        except LockedOut as refusal:
            return refusal
        return None

    def unlock(self, name: str | None) -> int | None:
        """Forget the failures; how many there were, or None if that cannot be told.

        Call it within a transaction. Raises Conflict if nobody has the name.
        """
        forgotten = limits.unlock(self._db, self._subject(name))
        self.log("unlock", "unlocked", name=name or "")
        return forgotten

    def _subject(self, name: str | None) -> str:
        return limits.EVERYBODY if name is None else self.uid(name)

    def events(self, after: int = 0) -> Iterator[Event]:
        """The log's entries with a higher id, oldest first."""
        return log.events(self._db, after)

    def verify_log(self) -> tuple[int, Broken | None]:
        """How many entries the log has, and the first that is not as it was written."""
        with self.snapshot():
            return log.verify(self._db, self._anchor)

    def prune_log(self, before: str) -> int:
        """Delete the oldest entries, up to the first that is not older; how many there were.

        What is left can be verified as before. Raises SetupProblem for a log that is broken.
        """
        with self.transaction(erasing=True):
            _, broken = log.verify(self._db, self._anchor)
            if broken:
                raise broken_log(broken)
            pruned = log.prune(self._db, self._anchor, before)
            if pruned:
                self.log("log", "pruned")
        return pruned

    # --- the file --------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """What SQLite's own checks find; empty when sound."""
        return self._db.faults()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written, events neither."""
        return self._db.read_only


def broken_log(broken: Broken) -> SetupProblem:
    """The log is not as it was written."""
    advice = "keep this store as it is, and compare it with a copy"
    message = f"entry {broken.id} of the log {broken.what}"
    return SetupProblem(Reason("log.broken", message, advice))


def not_encrypted(path: Path) -> SetupProblem:
    """A key is named for a store without one."""
    advice = "run facauth key init, or name no key file"
    return unfit("key.not_encrypted", path, "is not encrypted", advice)
