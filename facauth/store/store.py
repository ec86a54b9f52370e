"""The store of people, templates and events: its rules, for any engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from facauth.challenge import require_taken
from facauth.errors import FacauthError, LockedOut, SetupProblem
from facauth.places import Place
from facauth.records import Broken, PersonName, PersonRow
from facauth.settings import LIMITS
from facauth.store import limits, log, means
from facauth.store.attempt import Attempt, codes, worth_an_event
from facauth.store.change import Change
from facauth.store.clock import Clock, binding
from facauth.store.faults import unfit
from facauth.store.keys import NO_KEYS, KeyAccess, Lock
from facauth.store.log import Event
from facauth.store.opened import Opened, not_encrypted
from facauth.store.person import Person
from facauth.store.sqlite.engine import SqliteEngine
from facauth.store.vault import Vault

if TYPE_CHECKING:
    from facauth.challenge import Challenge
    from facauth.store.engine import Engine


def engine_at(place: Place, *, create: bool) -> Engine:
    """The engine of a place, opened. Raises SetupProblem."""
    if isinstance(place, Path):
        return SqliteEngine.open(place, create=create)
    from facauth.store.postgres.engine import PostgresEngine

    return PostgresEngine.open(place, create=create)


def _require_key(engine: Engine) -> None:
    if engine.keeps_deleted and engine.lock() is None:
        what, advice = "has no key yet", "facauth key init gives it one"
        raise unfit("store.missing", engine.place, what, advice)


def exists(place: Place) -> bool:
    """Whether there is anything at a path; a database is there before a store is."""
    return not isinstance(place, Path) or os.path.lexists(place)


LOOKS_AHEAD = 3  # attempts before a change is judged while others wait
Found = TypeVar("Found")


class _Changed(Exception):
    """People or photos changed while they were judged."""


class Store:
    """An open store. Use it as a context manager; only a `transaction` writes."""

    def __init__(self, opened: Opened, *, limited: bool = True) -> None:
        self._opened = opened
        self._limited = limited
        self.memory: means.Memory | None = None  # set by long-running processes

    @classmethod
    def open(
        cls,
        place: Place,
        keys: KeyAccess = NO_KEYS,
        *,
        create: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Open the store at `place`; create it if `create`. The key is read when first needed.

        Raises SetupProblem for a store that is missing, damaged or of another version, and for one
        in PostgreSQL without a key.
        """
        if create and keys.key_file is not None and not exists(place):
            raise not_encrypted(place)  # there is no store for this key
        engine = engine_at(place, create=create and isinstance(place, Path))
        try:
            _require_key(engine)
        except BaseException:
            engine.close()
            raise
        return cls(Opened(engine, keys, clock or binding.get() or engine.clock))

    @classmethod
    def made(cls, place: Place) -> Self:
        """Open the store at `place`, made if there is none, before it has a key.

        Raises SetupProblem.
        """
        engine = engine_at(place, create=True)
        return cls(Opened(engine, NO_KEYS, binding.get() or engine.clock))

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
        """Close the store; `with` does it."""
        self._opened.engine.close()

    def in_memory(self) -> Self:
        """A copy in memory for trials, without attempt limits; it is never written back."""
        return type(self)(self._opened.trial(), limited=False)

    # --- writing ---------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Change]:
        """A transaction: all or nothing, and one at a time; other writers wait.

        Deleted data stays neither in the write-ahead log nor in facauth's own backups. The backups
        are deleted before the commit: after it, a repeated command would find nothing to delete.
        """
        self.vault()
        engine = self._opened.engine
        with engine.transaction() as writer:
            change = Change(self._opened, writer)
            yield change
            if change.erasing:
                change.forget_expired()
                writer.discard_copies()
        if change.erasing:
            engine.scrub()

    @contextmanager
    def judged(self, look: Callable[[], Found]) -> Iterator[tuple[Change, Found]]:
        """A transaction in which the result of `look` on the people is valid.

        `look` runs before it, and again if people changed meanwhile; at last within it.
        """
        engine = self._opened.engine
        for _ in range(LOOKS_AHEAD):
            with self.snapshot():
                seen, found = engine.state(), look()
            with suppress(_Changed), self.transaction() as change:
                if engine.state() != seen:
                    raise _Changed
                yield change, found
                return
        with self.transaction() as change:
            yield change, look()

    @contextmanager
    def recorded(self, command: str) -> Iterator[None]:
        """Log every refusal, and raise it again."""
        try:
            yield
        except FacauthError as refusal:
            if worth_an_event(refusal):
                self.log(command, refusal.verdict, codes(refusal))
            raise

    def log(
        self,
        command: str,
        verdict: str,
        reasons: str | None = None,
        uid: str | None = None,
        error_rate: float | None = None,
    ) -> None:
        """Append one event in a transaction of its own; see Change.log."""
        with self.transaction() as change:
            change.log(command, verdict, reasons, uid, error_rate)

    def draw_challenge(self, claimed: str | None) -> Challenge:
        """A challenge for one sign-in with this name, which counts as a failure until it is used.

        A name that nobody has gets one too. Raises UsageProblem, LockedOut.
        """
        name = None if claimed is None else PersonName.parse(claimed)
        rules = LIMITS if self._limited else None
        with self.transaction() as change:
            person = None if name is None else self.person(name).find()
            subject = person.uid if person else None if name else limits.EVERYBODY
            return change.draw_challenge(name, subject, rules)

    def take_challenge(self, identifier: str | None, claimed: str | None) -> Challenge | None:
        """The challenge, used up now. Raises UnusableImage if it may not be answered."""
        if identifier is None:
            return None
        name = None if claimed is None else PersonName.parse(claimed)
        with self.transaction() as change:
            return require_taken(change.take_challenge(identifier, name))

    @contextmanager
    def attempt(
        self,
        claimed: str | None,
        challenge: str | None = None,
        *,
        error_rate: float | None = None,
    ) -> Iterator[Attempt]:
        """A sign-in, which counts as failed until it is accepted or refused.

        challenge: the id of the one that is answered; it is used up, whatever comes of it.
        Raises LockedOut at its beginning or end; Conflict for an unknown name; UnusableImage for a
        challenge that may not be answered.
        """
        rules = LIMITS if self._limited else None
        attempt = Attempt(self._opened.engine, self.transaction, rules, error_rate)
        try:
            attempt.begin(None if claimed is None else self.person(claimed), challenge)
            yield attempt
        except SetupProblem as fault:
            with suppress(SetupProblem):  # of a store that cannot be used any more the first counts
                attempt.refuse(fault)
            raise
        except FacauthError as refusal:
            attempt.refuse(refusal)
            raise

    # --- people ----------------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A snapshot: reads within see one state, whatever others write. Do not write within."""
        self.vault()
        with self._opened.engine.snapshot():
            yield

    def person(self, name: PersonName | str) -> Person:
        """The handle of the person with this name. Raises UsageProblem for an impossible name."""
        parsed = PersonName.parse(name) if isinstance(name, str) else name
        return Person(self._opened, parsed)

    def people(self, contract: str | None = None) -> list[PersonRow]:
        """All people, by name. With a contract, `needs_new_photo` counts the other templates."""
        return self._opened.engine.people(contract)

    def encodings(
        self, contract: str, people: Sequence[int] | None = None
    ) -> list[tuple[str, bytes]]:
        """(name, encoding) of every template of this contract that has not expired, a person's
        templates together.

        people: a few ids; only their templates, in the order of the ids.
        """
        found = self._opened.encodings(contract, people)
        return [(name, encoding) for _, name, encoding in found]

    def blocks(self, contract: str, average: means.Average, space: str = "") -> means.Blocks | None:
        """The search blocks of the present snapshot; None if the store is small.

        space: names the one in which `average` gives means.
        """
        templates = self._templates(contract, average, space)
        return means.Blocks(templates, self.memory) if templates.many() else None

    def refresh(self, contract: str, average: means.Average, space: str = "") -> None:
        """Store missing search blocks of a large store, if that is possible at once.

        Expired learned templates are deleted first, because blocks hold all templates.
        """
        templates = self._templates(contract, average, space)
        if not templates.many():
            return
        expired = self._opened.expired
        if any(expired(True, at) for _, _, at in self._opened.engine.learned()):
            with self.transaction() as change:
                change.forget_expired()
        means.refresh(templates)

    def _templates(self, contract: str, average: means.Average, space: str) -> means.Templates:
        opened = self._opened

        def read(people: range) -> means.Rows:
            return opened.encodings(contract, people)

        return means.Templates(opened.engine, self.vault(), contract, read, average, space)

    # --- the key ---------------------------------------------------------------------------------

    def lock(self) -> Lock | None:
        """The lock of the store; None if it is not encrypted."""
        return self._opened.lock()

    def vault(self) -> Vault | None:
        """The opened key; see Opened.vault."""
        return self._opened.vault()

    def kek(self, lock: Lock) -> bytes:
        """The key of the lock; raises SetupProblem if it is not the key of this store."""
        kek = self._opened.kek(lock)
        self._opened.opened_by(kek, lock)
        return kek

    # --- log and limits --------------------------------------------------------------------------

    def failures(self) -> int:
        """Failures in a row of sign-ins without a name."""
        tries = limits.read(self._opened.engine, limits.EVERYBODY)
        return tries.failures if tries else 0

    def locked(self) -> LockedOut | None:
        """The lock-out of sign-ins without a name; None if they are not locked out."""
        engine, clock = self._opened.engine, self._opened.clock
        return limits.locked(engine, limits.EVERYBODY, LIMITS, clock)

    def events(self, after: int = 0) -> Iterator[Event]:
        """The log's entries with a higher id, oldest first."""
        return log.events(self._opened.engine, after)

    def verify_log(self) -> tuple[int, Broken | None]:
        """The number of entries of the log, and the first broken one."""
        with self.snapshot():
            return log.verify(self._opened.engine, self._opened.anchor)

    # --- the file --------------------------------------------------------------------------------

    @property
    def place(self) -> Place:
        """Where the store is."""
        return self._opened.place

    @property
    def clock(self) -> Clock:
        """The clock of the store."""
        return self._opened.clock

    @property
    def warnings(self) -> list[str]:
        """A line for each way in which other users could read or replace the store."""
        return self._opened.engine.exposure()

    @property
    def remains(self) -> list[str]:
        """A line for what a deletion leaves in the engine's files."""
        left = "the database keeps sealed copies of what was deleted, which the key opens"
        return [f"{left}, until facauth key rotate"] * self._opened.engine.keeps_deleted

    def faults(self) -> list[str]:
        """What the engine's own checks find; empty when sound."""
        return self._opened.engine.faults()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written, events neither."""
        return self._opened.engine.read_only
