"""The encoding store: one SQLite file, 0600, in a folder that is 0700 if facauth makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from facauth.errors import ExitCode, FacauthError
from facauth.records import limits, log
from facauth.records.database import Database, exposure, unfit
from facauth.records.keys import KeyAccess, KeyKind, Lock
from facauth.records.log import Broken, Event
from facauth.records.roster import Roster, unknown
from facauth.records.sealing import bound_master
from facauth.records.vault import SealBroken, Vault
from facauth.settings import LIMITS, LIMITS_WITHOUT_LIVENESS, RATES, AttemptLimits
from facauth.structs import PersonName

NO_KEYS = KeyAccess()


class Store(Roster):
    """An open store. Use it as a context manager; nothing is written outside `transaction`."""

    def __init__(self, db: Database, keys: KeyAccess, *, limited: bool = True) -> None:
        super().__init__(db)
        self._keys = keys
        self._limited = limited
        self._vault: Vault | None = None

    @classmethod
    def open(cls, path: Path, keys: KeyAccess = NO_KEYS, *, create: bool = False) -> Self:
        """Open the store at `path`; its key is looked for when it is first needed.

        A missing file is made if `create`; otherwise it is an empty store that leaves no trace.
        Raises SetupProblem for anything that is not a sound facauth store of this version.
        """
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
    def transaction(self) -> Iterator[None]:
        """All or nothing, and alone: other writers wait, and read what was written."""
        self.vault()
        with self._db.transaction():
            yield

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
            raise unfit(
                "store.damaged", self.path, "has a damaged lock", "bring back a copy of it"
            ) from None

    def vault(self) -> Vault | None:
        """The opened key; None in a store that is not encrypted.

        Raises SetupProblem without the key, with a wrong one, and where one is named for nothing:
        then somebody may have put another store in the place of the encrypted one.
        """
        lock = self.lock()
        if lock is None:
            if self._keys.key_file is not None:
                advice = "run facauth key init, or name no key file"
                raise unfit("key.not_encrypted", self.path, "is not encrypted", advice)
            return None
        if self._vault is None:
            try:
                self._vault = Vault.opened(
                    self._keys.kek(lock),
                    lock.wrapped_master,
                    bound_master(lock.store_id, lock.generation),
                )
            except SealBroken:
                advice = "name the key of this store"
                raise unfit("key.wrong", self.path, "is not opened by this key", advice) from None
        return self._vault

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
        """Append one event; within a transaction it stands or falls with that."""
        if not self._db.in_transaction:
            with self.transaction():
                self.log(command, verdict, reasons, name, error_rate)
            return
        subject = self._uid(name)
        log.append(self._db, self._anchor, command, verdict, reasons, subject, error_rate)

    def _uid(self, name: str) -> str | None:
        row = self._db.one("SELECT uid FROM people WHERE name = ?", name)
        return row[0] if row else None

    @contextmanager
    def recorded(self, command: str) -> Iterator[None]:
        """Every refusal becomes an event before it goes on its way."""
        try:
            yield
        except FacauthError as refusal:
            self._record(command, refusal)
            raise

    def _record(
        self, command: str, refusal: FacauthError, name: str = "", rate: float | None = None
    ) -> None:
        if refusal.exit_code not in (ExitCode.USAGE, ExitCode.SETUP):
            codes = " ".join(reason.code for reason in refusal.reasons)
            self.log(command, refusal.verdict, codes, name, rate)

    @contextmanager
    def attempt(self, claimed: str | None, *, liveness: bool) -> Iterator[Callable[[str], None]]:
        """A sign-in, which counts as failed before anything is looked at; then how it ends.

        Gives what must be called with the name of the person who is to be accepted. Raises
        LockedOut, before or then; Conflict if nobody has the claimed name.
        """
        rules = LIMITS if liveness else LIMITS_WITHOUT_LIVENESS
        rate = RATES.identify_fpir if claimed is None else RATES.verify_fmr
        name, begun = "", None

        def accept(person: str) -> None:
            with self.transaction():
                self._clear(subject, person, rules)
                self.log("sign-in", "signed_in", name=person, error_rate=rate)

        try:
            with self.transaction():
                name = self.known_as(PersonName.parse(claimed)) if claimed is not None else ""
                subject = self._uid(name) or limits.EVERYBODY
                begun = limits.begin(self._db, subject, rules) if self._limited else None
            yield accept
        except FacauthError as refusal:
            if refusal.exit_code is ExitCode.SETUP and begun is None:
                raise  # the store could not even be written
            with self.transaction():
                if begun:
                    limits.settle(self._db, subject, *begun, limits.weight(refusal))
                self._record("sign-in", refusal, name, rate)
            raise

    def _clear(self, subject: str, person: str, rules: AttemptLimits) -> None:
        """Forget failures; raises LockedOut if the person found must not sign in now."""
        uid = self._uid(person)
        if uid is None:
            raise unknown(PersonName.parse(person))  # removed or renamed since they were compared
        if not self._limited:
            return
        if subject == limits.EVERYBODY:
            limits.require_unlocked(limits.read(self._db, uid), rules)
        for each in {subject, uid}:
            limits.clear(self._db, each)

    def failures(self, name: str | None) -> int:
        """Failures in a row of a person, or (None) of sign-ins that name nobody."""
        return limits.read(self._db, self._subject(name)).failures

    def unlock(self, name: str | None) -> int:
        """Forget the failures; how many there were. Call it within a transaction."""
        return limits.clear(self._db, self._subject(name))

    def _subject(self, name: str | None) -> str:
        return limits.EVERYBODY if name is None else self._uid(name) or limits.EVERYBODY

    def events(self, after: int = 0) -> Iterator[Event]:
        """The log's entries with a higher id, oldest first."""
        return log.events(self._db, after)

    def verify_log(self) -> tuple[int, Broken | None]:
        """How many entries the log has, and the first that is not as it was written."""
        with self.snapshot():
            return log.verify(self._db, self._anchor)

    # --- the file --------------------------------------------------------------------------------

    def scrub(self) -> None:
        """Leave nothing of what was deleted in the write-ahead log; backups went before it."""
        self._db.empty_log()

    def faults(self) -> list[str]:
        """What SQLite's own integrity check finds; empty when sound."""
        return self._db.faults()
