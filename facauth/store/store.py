"""The store of people, their templates, and events: its rules, whatever engine keeps it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from facauth.errors import FacauthError, LockedOut
from facauth.settings import LIMITS
from facauth.store import limits, log, means
from facauth.store.attempt import Attempt, codes, worth_an_event
from facauth.store.change import Change
from facauth.store.clock import Clock, binding
from facauth.store.keys import NO_KEYS, KeyAccess, Lock
from facauth.store.log import Event
from facauth.store.opened import Opened, not_encrypted
from facauth.store.person import Person
from facauth.store.sqlite.engine import SqliteEngine
from facauth.store.vault import Vault
from facauth.structs import Broken, PersonName, PersonRow

LOOKS_AHEAD = 3  # before a change that others keep overtaking is judged under the lock
Found = TypeVar("Found")


class _Changed(Exception):
    """People or photos are no longer those that were looked at."""


class Store:
    """An open store. Use it as a context manager; only a `transaction` writes."""

    def __init__(self, opened: Opened, *, limited: bool = True) -> None:
        self._opened = opened
        self._limited = limited
        self.memory: means.Memory | None = None  # a process that lives long puts one here

    @classmethod
    def open(
        cls,
        path: Path,
        keys: KeyAccess = NO_KEYS,
        *,
        create: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Open the store at `path`, or make it if `create`; its key is looked for when needed.

        Raises SetupProblem if there is none, and for anything that is not a sound facauth store of
        this version.
        """
        if create and keys.key_file is not None and not os.path.lexists(path):
            raise not_encrypted(path)  # nothing is there that the key could be for
        engine = SqliteEngine.open(path, create=create)
        return cls(Opened(engine, keys, clock or binding.get()))

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
        self._opened.engine.close()

    def in_memory(self) -> Self:
        """A copy for trials, without attempt limits: what is changed there is never written."""
        return type(self)(self._opened.trial(), limited=False)

    # --- what is written -------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Change]:
        """All or nothing, and alone: other writers wait, and read what was written.

        Of what is deleted in it nothing stays, in the write-ahead log or in a backup of ours. The
        backups go first: who is killed here and tries again finds nothing to delete.
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
        """A transaction in which what `look` finds out about the people holds.

        It looks before, and again if they were changed meanwhile; at last within the transaction.
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
        """Every refusal becomes an event before it goes on its way."""
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

    @contextmanager
    def attempt(self, claimed: str | None, *, error_rate: float | None = None) -> Iterator[Attempt]:
        """A sign-in, which counts as failed before anything is looked at; then how it ends.

        Raises LockedOut, before or then; Conflict if nobody has the claimed name.
        """
        rules = LIMITS if self._limited else None
        attempt = Attempt(self._opened.engine, self.transaction, rules, error_rate)
        try:
            attempt.begin(None if claimed is None else self.person(claimed))
            yield attempt
        except FacauthError as refusal:
            attempt.refuse(refusal)
            raise

    # --- who is in it ----------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment, whatever others write; write nothing yourself."""
        self.vault()
        with self._opened.engine.snapshot():
            yield

    def person(self, name: PersonName | str) -> Person:
        """The handle of whoever has this name, in any case. Raises UsageProblem for no name."""
        parsed = PersonName.parse(name) if isinstance(name, str) else name
        return Person(self._opened, parsed)

    def people(self, contract: str | None = None) -> list[PersonRow]:
        """Everybody, by name. With a contract, `needs_new_photo` counts the other templates."""
        return self._opened.engine.people(contract)

    def encodings(
        self, contract: str, people: Sequence[int] | None = None
    ) -> list[tuple[str, bytes]]:
        """(name, encoding) of every template of this contract that has not expired, a person's
        templates together.

        people: ids, few, of nobody else then; the templates are in the order of these.
        """
        found = self._opened.encodings(contract, people)
        return [(name, encoding) for _, name, encoding in found]

    def blocks(self, contract: str, average: means.Average, space: str = "") -> means.Blocks | None:
        """What this store is searched by; None where there are so few that all can be read.

        space: names the one in which `average` gives means. They are of the snapshot within which
        they are used.
        """
        templates = self._templates(contract, average, space)
        return means.Blocks(templates, self.memory) if templates.many() else None

    def refresh(self, contract: str, average: means.Average, space: str = "") -> None:
        """Write down what a large store is searched by, as far as it is missing; or do not.

        Learned templates that have expired go first, for blocks hold everything that there is.
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
        """What the key must open; None in a store that is not encrypted."""
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
        """Failures in a row of sign-ins that name nobody."""
        tries = limits.read(self._opened.engine, limits.EVERYBODY)
        return tries.failures if tries else 0

    def locked(self) -> LockedOut | None:
        """Why a sign-in that names nobody is refused now, if it is."""
        engine, clock = self._opened.engine, self._opened.clock
        return limits.locked(engine, limits.EVERYBODY, LIMITS, clock)

    def events(self, after: int = 0) -> Iterator[Event]:
        """The log's entries with a higher id, oldest first."""
        return log.events(self._opened.engine, after)

    def verify_log(self) -> tuple[int, Broken | None]:
        """How many entries the log has, and the first that is not as it was written."""
        with self.snapshot():
            return log.verify(self._opened.engine, self._opened.anchor)

    # --- the file --------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Where the store is."""
        return self._opened.path

    @property
    def clock(self) -> Clock:
        """What it goes by."""
        return self._opened.clock

    @property
    def warnings(self) -> list[str]:
        """What is wrong with who may open the file, or change the folder that it is in."""
        return self._opened.engine.exposure()

    def faults(self) -> list[str]:
        """What the engine's own checks find; empty when sound."""
        return self._opened.engine.faults()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written, events neither."""
        return self._opened.engine.read_only
