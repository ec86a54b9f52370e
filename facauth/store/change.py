"""A change of a store: what is written within one transaction, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from facauth.names import folded
from facauth.store import arrivals, limits, log, means
from facauth.store.sealing import SealedPerson, new_key, seal_template, wrap_key

if TYPE_CHECKING:
    from facauth.store.arrivals import Sealed
    from facauth.store.engine import Writer
    from facauth.store.keys import Lock
    from facauth.store.opened import Opened
    from facauth.store.vault import Vault


class Change:
    """What alone can write. Store.transaction makes one, and commits it."""

    def __init__(self, opened: Opened, writer: Writer) -> None:
        self.opened, self.writer = opened, writer
        self.erasing = False  # of what is deleted nothing may stay, in a log or a copy of ours

    def erase(self) -> Writer:
        """The writer, for something to be deleted so that nothing of it stays."""
        self.erasing = True
        return self.writer

    # --- the log ---------------------------------------------------------------------------------

    def log(
        self,
        command: str,
        verdict: str,
        reasons: str | None = None,
        uid: str | None = None,
        error_rate: float | None = None,
    ) -> None:
        """Append one event, of the person with this id; it stands or falls with the change."""
        entry, at = (command, verdict, reasons, uid, error_rate), self.opened.clock.stamp()
        log.append(self.writer, self.opened.anchor, at, [entry])
        if verdict == "signed_in" and uid is not None:
            self.writer.set_last_sign_in(uid, at)

    def prune_log(self, before: str) -> int:
        """Delete the oldest entries, up to the first that is not older; how many there were.

        What is left can be verified as before. Raises SetupProblem for a log that is broken.
        """
        log.require_sound(self.writer, self.opened.anchor)
        pruned = log.prune(self.erase(), self.opened.anchor, before)
        if pruned:
            self.log("log", "pruned")
        return pruned

    # --- attempts --------------------------------------------------------------------------------

    def unlock(self, uid: str | None) -> int | None:
        """Forget the failures of the person with this id, or (None) of sign-ins that name nobody.

        How many there were, or None if that cannot be told.
        """
        forgotten = limits.unlock(self.writer, uid or limits.EVERYBODY, self.opened.clock)
        self.log("unlock", "unlocked", uid=uid)
        return forgotten

    # --- everybody -------------------------------------------------------------------------------

    def add_people(self, people: Sequence[Sealed]) -> None:
        """New people and an event for each; nobody may have one of their names."""
        arrivals.write(self.writer, people)
        entries = [("import", "imported", None, each.uid, None) for each in people]
        log.append(self.writer, self.opened.anchor, self.opened.clock.stamp(), entries)

    def forget_expired(self) -> None:
        """Delete everybody's learned templates that have expired."""
        rows = self.writer.learned()
        gone = [(name, number) for name, number, at in rows if self.opened.expired(True, at)]
        for name, theirs in groupby(gone, lambda row: row[0]):
            person = self.opened.person(folded(name))
            if person is not None:
                self.forget(person, [number for _, number in theirs])

    def forget(self, person: SealedPerson, numbers: Sequence[int]) -> None:
        """Delete these templates of a person."""
        key = self.opened.key_of(person)
        self.erase().delete_templates(person.id, numbers)
        self.wrap(person, key)

    def wrap(self, person: SealedPerson, key: bytes | None, vault: Vault | None = None) -> None:
        """Seal the key of a person with the templates that there are now."""
        encodings = self.writer.sealed_encodings(person.id)
        wrapped = wrap_key(vault or self.opened.vault(), key, person, encodings)
        self.writer.set_key(person.id, wrapped)
        means.forget(self.writer, person.id)

    # --- the key ---------------------------------------------------------------------------------

    def encrypt(self, lock: Lock, vault: Vault) -> None:
        """Put another lock on the store, and seal everything anew."""
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
