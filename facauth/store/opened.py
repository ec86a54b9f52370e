"""An open store: engine, key and clock. All sealed data is read through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby

from facauth.errors import SetupProblem, shown
from facauth.names import folded
from facauth.places import Place
from facauth.settings import LEARNED
from facauth.store.clock import Clock, stamp
from facauth.store.engine import Engine
from facauth.store.faults import RESTORE, unfit
from facauth.store.keys import KeyAccess, KeyKind, Lock
from facauth.store.sealing import (
    SealedPerson,
    Template,
    bound_master,
    open_encoding,
    open_key,
    open_template,
)
from facauth.store.vault import SealBroken, Vault


class Opened:
    """The state that the rules of a store share. The key is read when first needed."""

    def __init__(
        self, engine: Engine, keys: KeyAccess, clock: Clock, vault: Vault | None = None
    ) -> None:
        self.engine, self.clock = engine, clock
        self._keys, self._vault = keys, vault

    def trial(self) -> Opened:
        """A copy in memory, which is never written back."""
        trial = self.engine.trial()
        clock = trial.clock if self.clock == self.engine.clock else self.clock
        return Opened(trial, self._keys, clock, self._vault)

    @property
    def place(self) -> Place:
        """Where the store is."""
        return self.engine.place

    def lock(self) -> Lock | None:
        """The lock of the store; None if it is not encrypted."""
        row = self.engine.lock()
        if row is None:
            return None
        store_id, kind, *rest = row
        try:
            return Lock(store_id, KeyKind(kind), *rest)
        except ValueError:
            raise unfit("store.damaged", self.place, "has a damaged lock", RESTORE) from None

    def vault(self) -> Vault | None:
        """The opened key; None if the store is not encrypted.

        Raises SetupProblem for a missing or wrong key, and for a key file although the store is
        not encrypted: then it may have been put in the place of the encrypted store.
        """
        lock = self.lock()
        if lock is None:
            if self._keys.key_file is not None:
                raise not_encrypted(self.place)
            return None
        if self._vault is None:
            try:
                self._vault = self.opened_by(self.kek(lock), lock)
            except SetupProblem:
                self.engine.require_unchanged()  # another process may have rotated the key just now
                raise
        return self._vault

    def kek(self, lock: Lock) -> bytes:
        """The key of the lock; see KeyAccess."""
        return self._keys.kek(lock)

    def opened_by(self, kek: bytes, lock: Lock) -> Vault:
        """The vault that a key opens; raises SetupProblem if it is not the key of this lock."""
        bound = bound_master(lock.store_id, lock.generation)
        try:
            return Vault.opened(kek, lock.wrapped_master, bound)
        except SealBroken:
            advice = "name the key of this store"
            raise unfit("key.wrong", self.place, "is not opened by this key", advice) from None

    def use(self, vault: Vault) -> None:
        """Use another key, which was put on the store."""
        self._vault = vault

    def anchor(self, data: bytes) -> bytes | None:
        """The hash of `data` with the key; None without a key."""
        return self._vault.anchor(data) if self._vault else None

    def person(self, name_key: str) -> SealedPerson | None:
        """The person with this name key."""
        person = self.engine.person(name_key)
        if person and folded(str(person.name)) != name_key:  # only the name itself is sealed
            raise self.altered(person)
        return person

    def key_of(self, person: SealedPerson) -> bytes | None:
        """The key of a person; None in a store that is not encrypted."""
        with self.unsealing(person):
            return open_key(self.vault(), person, self.engine.sealed_encodings(person.id))

    def templates(self, person: SealedPerson) -> list[tuple[int, str, str, Template]]:
        """Id, contract, time of enrolment and template of each photo, as they were added."""
        rows = self.engine.templates(person.id)
        with self.unsealing(person):
            key = open_key(self.vault(), person, [sealed.encoding for *_, sealed in rows])
            return [
                (number, made_by, at, open_template(key, person.uid, made_by, sealed))
                for number, made_by, at, sealed in rows
            ]

    def encodings(
        self, contract: str, people: Sequence[int] | None = None
    ) -> list[tuple[int, str, bytes]]:
        """Person id, name and encoding of every template of this contract that has not expired.

        people: ids; None: everybody. Templates of every contract are read and verified.
        """
        vault, found, keys = self.vault(), [], set()
        rows = self.engine.encodings(people)
        for (person, name_key), theirs in groupby(
            rows, lambda row: (SealedPerson(*row[:4]), row[4])
        ):
            if name_key != folded(str(person.name)) or name_key in keys:
                raise self.altered(
                    person
                )  # otherwise signatures of another person would be compared
            keys.add(name_key)
            photos = [row[5:] for row in theirs]
            with self.unsealing(person):
                key = open_key(vault, person, [photo[0] for photo in photos])
                for encoding, made_by, spoof, signed, learned, at in photos:
                    opened = open_encoding(
                        *(key, person.uid, made_by, encoding, spoof), signed=signed, learned=learned
                    )
                    if made_by == contract and not self.expired(learned, at):
                        found.append((person.id, person.name, opened))
        return found

    def expired(self, learned: bool, enrolled_at: str) -> bool:
        """Whether a template is too old for comparisons; only learned ones expire."""
        if not learned:
            return False
        oldest = self.clock.now() - timedelta(days=LEARNED.max_days)
        known = isinstance(enrolled_at, str)  # in a damaged store it can be anything
        return not (known and enrolled_at >= stamp(oldest))

    @contextmanager
    def unsealing(self, person: SealedPerson) -> Iterator[None]:
        """A broken seal within raises SetupProblem."""
        try:
            yield
        except SealBroken:
            self.engine.require_unchanged()  # a rotation of the key is another reason
            raise self.altered(person) from None

    def altered(self, person: SealedPerson) -> SetupProblem:
        """The refusal of a store whose data of a person does not fit together."""
        what = f"was changed by another program: the data of {shown(person.name)} does not fit"
        return unfit("store.altered", self.place, what, RESTORE)


def not_encrypted(place: Place) -> SetupProblem:
    """The refusal of a key file for a store that is not encrypted."""
    advice = "run facauth key init, or leave out the key file"
    return unfit("key.not_encrypted", place, "is not encrypted", advice)
