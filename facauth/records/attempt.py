"""One sign-in, as the store counts and logs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from facauth.errors import Conflict, ExitCode, FacauthError, LockedOut, Reason
from facauth.records import limits
from facauth.records.limits import Tries
from facauth.structs import PersonName

if TYPE_CHECKING:
    from facauth.records.store import Store
    from facauth.settings import AttemptLimits
    from facauth.structs import Learned

GONE = Reason("name.changed", "the person was removed just now", "see facauth list")


class Lesson(Protocol):
    """What an accepted sign-in teaches."""

    @property
    def erasing(self) -> bool:
        """Whether learning it deletes something."""

    def take(self, store: Store) -> Learned:
        """Learn it."""


class Attempt:
    """One sign-in, from before the photo is looked at until it is accepted or refused.

    A try that names nobody counts for everybody's such tries, and for the person whom it comes
    near: so as many tries get through with a name and without one as with a name alone.
    """

    def __init__(self, store: Store, rules: AttemptLimits | None, error_rate: float | None) -> None:
        self._store, self._db, self._rules, self._error_rate = store, store._db, rules, error_rate
        self._subject = limits.EVERYBODY
        self._begun: dict[str, tuple[Tries, Tries]] = {}

    def begin(self, claimed: str | None) -> None:
        """Count it. Raises LockedOut; Conflict if nobody has the claimed name."""
        with self._store.transaction():
            if claimed is not None:
                known_as = self._store.known_as(PersonName.parse(claimed))
                self._subject = self._store.uid(known_as)
            counted = self._count(self._subject)
        self._begun |= counted  # only now: it is not counted unless it was committed

    def came_near(self, uid: str | None) -> None:
        """Count a try that names nobody for this person too, or (None) near whom nobody is.

        Both write one row: how long it takes does not tell. Raises LockedOut if they are locked.
        """
        if self._subject != limits.EVERYBODY or self._rules is None:
            return
        with self._store.transaction():
            if uid is not None and self._is_there(uid):
                counted = self._count(uid)
            else:
                mine, counted = limits.read(self._db, self._subject) or Tries(), {}
                limits.write(self._db, self._subject, mine)
        self._begun |= counted

    def _count(self, subject: str) -> dict[str, tuple[Tries, Tries]]:
        return {subject: limits.begin(self._db, subject, self._rules)} if self._rules else {}

    def _tries(self) -> Tries:
        return limits.read(self._db, self._subject) or Tries()

    def _is_there(self, uid: str) -> bool:
        return self._db.one("SELECT 1 FROM people WHERE uid = ?", uid) is not None

    def accept(self, uid: str, lesson: Lesson | None = None) -> Learned | None:
        """End it: this person signs in, in one transaction with what is learned of the photo.

        Raises LockedOut if the person must not sign in now, Conflict if they are gone.
        """
        with self._store.transaction(erasing=lesson is not None and lesson.erasing):
            if not self._is_there(uid) or self._subject not in (limits.EVERYBODY, uid):
                raise Conflict(GONE)
            if self._rules is not None:
                if uid not in self._begun:
                    limits.require_subject_unlocked(self._db, uid, self._rules)
                for each in {self._subject, uid, *self._begun}:
                    limits.clear(self._db, each)
            self._store._append("sign-in", "signed_in", None, uid, self._error_rate)
            return lesson.take(self._store) if lesson else None

    def refuse(self, refusal: FacauthError) -> None:
        """End it: as many failures as the refusal weighs, and an event."""
        if not (self._begun or worth_an_event(refusal)) or self._told_to_wait(refusal):
            return
        with self._store.transaction():
            for subject, counted in self._begun.items():
                limits.settle(self._db, subject, *counted, limits.weight(refusal))
            if worth_an_event(refusal):
                whom = self._subject or None
                self._store._append(
                    "sign-in", refusal.verdict, codes(refusal), whom, self._error_rate
                )

    def _told_to_wait(self, refusal: FacauthError) -> bool:
        """Whether the last that the log says of the subject's sign-ins is this very refusal.

        To say so again and again would let somebody who is locked out fill the disk.
        """
        if self._begun or not isinstance(refusal, LockedOut):
            return False
        last = self._db.one(
            """SELECT verdict FROM events WHERE subject IS ? AND command IN ('sign-in', 'unlock')
            ORDER BY id DESC LIMIT 1""",
            self._subject or None,
        )
        return last == (LockedOut.verdict,)


def worth_an_event(refusal: FacauthError) -> bool:
    """Not what nobody could be refused for: a wrong call, a store that cannot be used."""
    return refusal.exit_code not in (ExitCode.USAGE, ExitCode.SETUP)


def codes(refusal: FacauthError) -> str:
    """The reasons of a refusal, as the log has them."""
    return " ".join(reason.code for reason in refusal.reasons)
