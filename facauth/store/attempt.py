"""One sign-in: how the store counts and logs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from facauth.challenge import require_taken
from facauth.errors import Conflict, ExitCode, FacauthError, LockedOut, Reason
from facauth.store import limits
from facauth.store.clock import stamp
from facauth.store.limits import Tries

if TYPE_CHECKING:
    from facauth.challenge import Challenge
    from facauth.settings import AttemptLimits
    from facauth.store.change import Change
    from facauth.store.clock import Clock
    from facauth.store.engine import Engine
    from facauth.store.person import Person
    from facauth.structs import Learned

GONE = Reason("name.changed", "the person was removed just now", "see facauth list")


class Lesson(Protocol):
    """What an accepted sign-in may learn."""

    def take(self, change: Change) -> Learned:
        """Learn the photo, or say why not."""


class Attempt:
    """One sign-in, from before the photo is looked at until it is accepted or refused.

    An attempt without a name counts for all attempts without a name, and for the person whom it
    nearly matches. So leaving out the name gives an attacker no further attempts on a person.
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
        self.challenge: Challenge | None = None  # that the clip must answer

    def begin(self, claimed: Person | None, challenge: str | None = None) -> None:
        """Count the attempt, and use up its challenge.

        Raises LockedOut; Conflict for an unknown name; UnusableImage for a challenge that may not
        be answered.
        """
        with self._transaction() as change:
            if claimed is not None:
                self._subject = claimed.uid
            if challenge is not None:  # before the count, in which it stands until it is used
                name = None if claimed is None else claimed.asked
                self.challenge = change.take_challenge(challenge, name, self._subject)
            counted = self._count(change, self._subject)
        self._begun |= counted  # after the commit: before it, nothing is counted
        if challenge is not None:
            require_taken(self.challenge)

    def came_near(self, uid: str | None) -> None:
        """Count an attempt without a name for this person too; None: nobody nearly matched.

        Both cases write one row, so that they take the same time. Raises LockedOut if the person
        is locked out.
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
        """Accept the sign-in of this person and learn the photo, in one transaction.

        Raises LockedOut if the person is locked out by now, Conflict if the person was removed.
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
        """Refuse the sign-in: count its failures and log it."""
        if not (self._begun or worth_an_event(refusal)) or self._already_logged(refusal):
            return
        with self._transaction() as change:
            clock = change.opened.clock
            weight = limits.weight(refusal, young=self._young(clock))
            for subject, counted in self._begun.items():
                limits.settle(change.writer, subject, *counted, weight, clock)
            if worth_an_event(refusal):
                person, reasons = self._subject or None, codes(refusal)
                change.log("sign-in", refusal.verdict, reasons, person, self._error_rate)

    def _young(self, clock: Clock) -> bool:
        """Whether nobody was enrolled before `trying_s`."""
        if self._rules is None:
            return False
        since = stamp(clock.now() - timedelta(seconds=self._rules.trying_s))
        return (self._engine.first_enrolled_at() or since) > since

    def _already_logged(self, refusal: FacauthError) -> bool:
        """Whether the log's last sign-in of the subject is a lock-out too.

        Logging each one would let a client that is locked out fill the disk.
        """
        if self._begun or not isinstance(refusal, LockedOut):
            return False
        last = self._engine.last_verdict(self._subject or None, ("sign-in", "unlock"))
        return last == LockedOut.verdict


def worth_an_event(refusal: FacauthError) -> bool:
    """Whether a refusal is logged: not for a wrong call or a store that cannot be used."""
    return refusal.exit_code not in (ExitCode.USAGE, ExitCode.SETUP)


def codes(refusal: FacauthError) -> str:
    """The reason codes of a refusal, in the log's format."""
    return " ".join(reason.code for reason in refusal.reasons)
