"""Attempt limits, after SP 800-63B-4, 3.2.3.3: failures in a row, then delays, then a stop.

A try is counted as the gravest failure before the photo is looked at, and settled afterwards:
processes side by side cannot get more tries than one after the other, and a killed process has
failed as if it had been an attack.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import ceil
from typing import TYPE_CHECKING

from facauth.errors import Attack, FacauthError, LockedOut, NoMatch, Reason, SetupProblem
from facauth.store.faults import unfit

if TYPE_CHECKING:
    from facauth.settings import AttemptLimits
    from facauth.store.clock import Clock
    from facauth.store.engine import Engine, Writer

GRAVEST = 2  # as so many failures counts an attack, and a try that is not settled
EVERYBODY = ""  # the subject of a sign-in that names nobody
LARGEST = 2**53  # no count and no clock comes so far
# Of the photos that cannot be used, those that came so far that there is something to learn.
DOUBTS = ("liveness.doubt", "replay.same_sitting")
# Of those that match nobody, the ones where there was nothing to compare with.
NOT_COMPARED = ("match.nobody_enrolled", "match.needs_new_photo")


@dataclass(frozen=True, slots=True)
class Tries:
    """One row: failures in a row of one subject, and when the last was, by both clocks."""

    round: int = 0
    failures: int = 0
    failed_at_s: float = 0.0
    failed_boot_s: float = 0.0


def passed_s(tries: Tries, now_s: float, boot_s: float) -> float:
    """At least so many seconds have passed since the last failure, however clocks were set.

    If the machine was started anew, it has been up for less than that time. The world's clock
    counts too, unless it went back: it is what two machines that share a store have in common.
    """
    since = boot_s - tries.failed_boot_s
    certain = boot_s if since < 0 else since
    world = now_s - tries.failed_at_s
    return certain if world < 0 else min(world, certain)


def delay_s(failures: int, limits: AttemptLimits) -> float:
    """How long to wait after so many failures in a row; infinite: until it is unlocked."""
    if failures < limits.max_failures:
        return 0.0
    if failures >= limits.stop_failures:
        return float("inf")
    doublings = min(failures - limits.max_failures, 32)
    return min(limits.first_delay_s * 2.0**doublings, limits.max_delay_s)


def require_unlocked(tries: Tries, limits: AttemptLimits, clock: Clock) -> None:
    """Raises LockedOut while a delay or a stop is in force."""
    delay = delay_s(tries.failures, limits)
    if delay == 0:
        return
    wait_s = delay - passed_s(tries, *clock.read_s())
    if not wait_s <= 0:  # written so that NaN refuses
        raise locked_out(wait_s)


def locked_out(wait_s: float) -> LockedOut:
    """Refused without a look, for so long."""
    message = "there were too many failed sign-ins"
    if wait_s == float("inf"):
        return LockedOut(Reason("limit.stopped", message, "an operator can run facauth unlock"))
    whole_s = ceil(wait_s)
    reason = Reason("limit.delay", message, f"try again in {spoken(whole_s)}")
    return LockedOut(reason, retry_after_s=whole_s)


def spoken(seconds: int) -> str:
    """ "27 s", "8 min": rounded up."""
    return f"{seconds} s" if seconds <= 120 else f"{-(-seconds // 60)} min"


def weight(refusal: FacauthError) -> int:
    """As how many failures a refusal counts; 0 for what says nothing of the face."""
    if isinstance(refusal, Attack):
        return GRAVEST
    compared = isinstance(refusal, NoMatch) and refusal.reasons[0].code not in NOT_COMPARED
    doubted = any(reason.code in DOUBTS for reason in refusal.reasons)
    return int(compared or doubted or isinstance(refusal, LockedOut))


def read(engine: Engine, subject: str) -> Tries | None:
    """What is known of a subject; raises SetupProblem for what facauth cannot have written."""
    row = engine.tries(subject)
    if row and not _possible(*row):
        what = "holds an impossible count of failed sign-ins"
        raise unfit("limit.damaged", engine.path, what, "an operator can run facauth unlock")
    return Tries(*row) if row else None


def _possible(turn: object, failures: object, *clocks: object) -> bool:
    """Written so that NaN, and whatever is no number, is not."""
    counts = all(isinstance(n, int) and 0 <= n < LARGEST for n in (turn, failures))
    return counts and all(isinstance(s, float) and abs(s) < LARGEST for s in clocks)


def write(writer: Writer, subject: str, tries: Tries) -> None:
    """What is known of a subject from now on."""
    writer.put_tries(subject, astuple(tries))


def require_subject_unlocked(
    engine: Engine, subject: str, limits: AttemptLimits, clock: Clock
) -> Tries:
    """What is known of a subject; raises LockedOut."""
    tries = read(engine, subject) or Tries()
    require_unlocked(tries, limits, clock)
    return tries


def locked(engine: Engine, subject: str, limits: AttemptLimits, clock: Clock) -> LockedOut | None:
    """Why a sign-in is refused now, if it is."""
    try:
        require_subject_unlocked(engine, subject, limits, clock)
    except LockedOut as refusal:
        return refusal
    return None


def begin(writer: Writer, subject: str, limits: AttemptLimits, clock: Clock) -> tuple[Tries, Tries]:
    """Count a try as the gravest failure; what was there before, and since. Raises LockedOut."""
    before = require_subject_unlocked(writer, subject, limits, clock)
    since = Tries(before.round, before.failures + GRAVEST, *clock.read_s())
    write(writer, subject, since)
    return before, since


def settle(
    writer: Writer, subject: str, before: Tries, since: Tries, count: int, clock: Clock
) -> None:
    """A try that was refused counts as so many failures."""
    stored = read(writer, subject)
    if stored is None:  # the person was removed in between
        return
    if count == 0 and stored == since:
        write(writer, subject, before)  # as if it had not been
        return
    counted = GRAVEST * int(stored.round == since.round)  # otherwise somebody succeeded in between
    failures = max(stored.failures - counted + count, 0)
    clocks = clock.read_s() if count else (stored.failed_at_s, stored.failed_boot_s)
    write(writer, subject, Tries(stored.round, failures, *clocks))


def clear(writer: Writer, subject: str, clock: Clock) -> int:
    """No failures any more; how many there were."""
    stored = read(writer, subject) or Tries()
    write(writer, subject, Tries(stored.round + 1, 0, *clock.read_s()))
    return stored.failures


def unlock(writer: Writer, subject: str, clock: Clock) -> int | None:
    """As `clear`, whatever the row holds; None if that was no possible count."""
    try:
        return clear(writer, subject, clock)
    except SetupProblem:
        writer.delete_tries(subject)
        return None
