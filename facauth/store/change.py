"""A change of a store: all that one transaction writes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from facauth.errors import SetupProblem
from facauth.names import folded
from facauth.store import arrivals, challenges, limits, log, means
from facauth.store.sealing import SealedPerson, new_key, seal_template, wrap_key

if TYPE_CHECKING:
    from facauth.challenge import Challenge
    from facauth.records import PersonName
    from facauth.settings import AttemptLimits
    from facauth.store.arrivals import Sealed
    from facauth.store.engine import Writer
    from facauth.store.keys import Lock
    from facauth.store.opened import Opened
    from facauth.store.vault import Vault


class Change:
    """The only way to write. Store.transaction makes a change and commits it."""

    def __init__(self, opened: Opened, writer: Writer) -> None:
        self.opened, self.writer = opened, writer
        self.erasing = False  # deleted data must not stay in the write-ahead log or in our copies

    def erase(self) -> Writer:
        """The writer, for a deletion that must leave nothing behind."""
        self.erasing = True
        return self.writer

    def draw_challenge(
        self, claimed: PersonName | None, subject: str | None, rules: AttemptLimits | None
    ) -> Challenge:
        """A challenge that one attempt with this name may answer. Raises LockedOut."""
        return challenges.drawn(self.writer, self.opened.clock, claimed, subject, rules)

    def take_challenge(
        self, identifier: str, claimed: PersonName | None, subject: str | None = None
    ) -> Challenge | None:
        """The challenge, used up now; None if it may not be answered."""
        return challenges.taken(self.writer, self.opened.clock, identifier, claimed, subject)

    # --- the log ---------------------------------------------------------------------------------

    def log(
        self,
        command: str,
        verdict: str,
        reasons: str | None = None,
        uid: str | None = None,
        error_rate: float | None = None,
    ) -> None:
        """Append one event of the person with this id; it is committed with the change."""
        entry, at = (command, verdict, reasons, uid, error_rate), self.opened.clock.stamp()
        log.append(self.writer, self.opened.anchor, at, [entry])
        if verdict == "signed_in" and uid is not None:
            self.writer.set_last_sign_in(uid, at)

    def prune_log(self, before: str) -> int:
        """Delete the oldest entries, up to the first that is not older; returns their number.

        The remaining log can be verified. Raises SetupProblem for a broken log.
        """
        log.require_sound(self.writer, self.opened.anchor)
        pruned = log.prune(self.erase(), self.opened.anchor, before)
        if pruned:
            self.log("log", "pruned")
        return pruned

    # --- attempts --------------------------------------------------------------------------------

    def unlock(self, uid: str | None) -> int | None:
        """Forget the failures of the person with this id; None: of sign-ins without a name.

        Returns their number, or None if the stored number is impossible.
        """
        forgotten = limits.unlock(self.writer, uid or limits.EVERYBODY, self.opened.clock)
        self.log("unlock", "unlocked", uid=uid)
        return forgotten

    # --- everybody -------------------------------------------------------------------------------

    def add_people(self, people: Sequence[Sealed]) -> None:
        """Add new people with an event for each; none of their names may be taken."""
        arrivals.write(self.writer, people)
        entries = [("import", "imported", None, person.uid, None) for person in people]
        log.append(self.writer, self.opened.anchor, self.opened.clock.stamp(), entries)

    def forget_expired(self) -> None:
        """Delete everybody's learned templates that have expired."""
        rows = self.writer.learned()
        gone = [(name, number) for name, number, at in rows if self.opened.expired(True, at)]
        for name, theirs in groupby(gone, lambda row: row[0]):
            person = self.opened.person(folded(name))
            if person is not None and self._intact(person):
                self.forget(person, [number for _, number in theirs])

    def _intact(self, person: SealedPerson) -> bool:
        """Whether the seal holds. A damaged person must not keep another person in the store."""
        try:
            self.opened.key_of(person)
        except SetupProblem:
            return False
        return True

    def forget(self, person: SealedPerson, numbers: Sequence[int]) -> None:
        """Delete templates of a person."""
        key = self.opened.key_of(person)
        self.erase().delete_templates(person.id, numbers)
        self.wrap(person, key)

    def wrap(self, person: SealedPerson, key: bytes | None, vault: Vault | None = None) -> None:
        """Seal the key of a person with the present templates."""
        encodings = self.writer.sealed_encodings(person.id)
        wrapped = wrap_key(vault or self.opened.vault(), key, person, encodings)
        self.writer.set_key(person.id, wrapped)
        means.forget(self.writer, person.id)

    # --- the key ---------------------------------------------------------------------------------

    def encrypt(self, lock: Lock, vault: Vault) -> None:
        """Put a new lock on the store, and seal all data again."""
        for person in self.erase().everybody():
            key = new_key(vault)
            for number, made_by, _, template in self.opened.templates(person):
                sealed = seal_template(key, person.uid, made_by, template)
                self.writer.replace_template(number, sealed)
            self.wrap(person, key, vault)
        kept = lock.store_id, lock.kind, lock.generation, lock.salt, lock.wrapped_master
        self.writer.put_lock(kept)
        log.anchor_anew(self.writer, self.opened.anchor, vault.anchor)
        self.opened.use(vault)
