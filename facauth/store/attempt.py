"""One sign-in, as the store counts and logs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from facauth.errors import Conflict, ExitCode, FacauthError, LockedOut, Reason
from facauth.store import limits
from facauth.store.limits import Tries

if TYPE_CHECKING:
    from facauth.settings import AttemptLimits
    from facauth.store.change import Change
    from facauth.store.engine import Engine
    from facauth.store.person import Person
    from facauth.structs import Learned

GONE = Reason("name.changed", "the person was removed just now", "see facauth list")


class Lesson(Protocol):
    """What an accepted sign-in teaches."""

    def take(self, change: Change) -> Learned:
        """Learn it."""


class Attempt:
    """One sign-in, from before the photo is looked at until it is accepted or refused.

    A try that names nobody counts for everybody's such tries, and for the person whom it comes
    near: so as many tries get through with a name and without one as with a name alone.
    """

    def __init__(
        self,
        engine: Engine,
        transaction: Callable[[], AbstractContextManager[Change]],
        rules: AttemptLimits | None,
        error_rate: float | None,
    ) -> None:
        self._engine, self._transaction = engine, transaction
        self._rules, self._error_rate = rules, error_rate
        self._subject = limits.EVERYBODY
        self._begun: dict[str, tuple[Tries, Tries]] = {}

    def begin(self, claimed: Person | None) -> None:
        """Count it. Raises LockedOut; Conflict if nobody has the claimed name."""
        with self._transaction() as change:
            if claimed is not None:
                self._subject = claimed.uid
            counted = self._count(change, self._subject)
        self._begun |= counted  # only now: it is not counted unless it was committed

    def came_near(self, uid: str | None) -> None:
        """Count a try that names nobody for this person too, or (None) near whom nobody is.

        Both write one row: how long it takes does not tell. Raises LockedOut if they are locked.
        """
        if self._subject != limits.EVERYBODY or self._rules is None:
            return
        with self._transaction() as change:
            if uid is not None and self._engine.is_enrolled(uid):
                counted = self._count(change, uid)
            else:
                mine, counted = limits.read(self._engine, self._subject) or Tries(), {}
                limits.write(change.writer, self._subject, mine)
        self._begun |= counted

    def _count(self, change: Change, subject: str) -> dict[str, tuple[Tries, Tries]]:
        if self._rules is None:
            return {}
        clock = change.opened.clock
        return {subject: limits.begin(change.writer, subject, self._rules, clock)}

    def accept(self, uid: str, lesson: Lesson | None = None) -> Learned | None:
        """End it: this person signs in, in one transaction with what is learned of the photo.

        Raises LockedOut if the person must not sign in now, Conflict if they are gone.
        """
        with self._transaction() as change:
            if not self._engine.is_enrolled(uid) or self._subject not in (limits.EVERYBODY, uid):
                raise Conflict(GONE)
            if self._rules is not None:
                self._clear(change, uid, self._rules)
            change.log("sign-in", "signed_in", None, uid, self._error_rate)
            return lesson.take(change) if lesson else None

    def _clear(self, change: Change, uid: str, rules: AttemptLimits) -> None:
        clock = change.opened.clock
        if uid not in self._begun:
            limits.require_subject_unlocked(self._engine, uid, rules, clock)
        for subject in {self._subject, uid, *self._begun}:
            limits.clear(change.writer, subject, clock)

    def refuse(self, refusal: FacauthError) -> None:
        """End it: as many failures as the refusal weighs, and an event."""
        if not (self._begun or worth_an_event(refusal)) or self._told_to_wait(refusal):
            return
        with self._transaction() as change:
            clock, weight = change.opened.clock, limits.weight(refusal)
            for subject, counted in self._begun.items():
                limits.settle(change.writer, subject, *counted, weight, clock)
            if worth_an_event(refusal):
                whom, why = self._subject or None, codes(refusal)
                change.log("sign-in", refusal.verdict, why, whom, self._error_rate)

    def _told_to_wait(self, refusal: FacauthError) -> bool:
        """Whether the last that the log says of the subject's sign-ins is this very refusal.

        To say so again and again would let somebody who is locked out fill the disk.
        """
        if self._begun or not isinstance(refusal, LockedOut):
            return False
        last = self._engine.last_verdict(self._subject or None, ("sign-in", "unlock"))
        return last == LockedOut.verdict


def worth_an_event(refusal: FacauthError) -> bool:
    """Not what nobody could be refused for: a wrong call, a store that cannot be used."""
    return refusal.exit_code not in (ExitCode.USAGE, ExitCode.SETUP)


def codes(refusal: FacauthError) -> str:
    """The reasons of a refusal, as the log has them."""
    return " ".join(reason.code for reason in refusal.reasons)
