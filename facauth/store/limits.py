"""Attempt limits, after SP 800-63B-4, 3.2.3.3: failures in a row, then delays, then a stop.

An attempt is counted as the gravest failure before the photo is read, and settled afterwards.
So parallel processes get no more attempts than processes one after the other, and a killed process
counts as an attack.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from facauth.errors import Attack, FacauthError, LockedOut, NoMatch, Reason, SetupProblem
from facauth.store.faults import unfit

if TYPE_CHECKING:
    from facauth.settings import AttemptLimits
    from facauth.store.clock import Clock
    from facauth.store.engine import Engine, Writer

GRAVEST = 2  # failures of an attack, and of an attempt that is not settled
EVERYBODY = ""  # the subject of sign-ins without a name
LARGEST = 2**53  # above any count and any clock
# Unusable photos count if an attacker could learn from the refusal.
DOUBTS = (
    "liveness.doubt",
    "replay.same_sitting",
    "challenge.not_followed",
    "clip.face_changes",
)
# Photos without a match do not count if there was nothing to compare with.
NOT_COMPARED = ("match.nobody_enrolled", "match.needs_new_photo")


@dataclass(frozen=True, slots=True)
class Tries:
    """Failures in a row of one subject, and the time of the last one by both clocks."""

    round: int = 0
    failures: int = 0
    failed_at_s: float = 0.0
    failed_boot_s: float = 0.0


def passed_s(tries: Tries, now_s: float, boot_s: float) -> float:
    """Seconds that have surely passed since the last failure, however the clocks were set.

    After a restart of the machine, the time since the start counts. The time of day counts too,
    unless it went back: machines that share a store have it in common.
    """
    since = boot_s - tries.failed_boot_s
    certain = boot_s if since < 0 else since
    world = now_s - tries.failed_at_s
    return certain if world < 0 else min(world, certain)


def delay_s(failures: int, limits: AttemptLimits) -> float:
    """The delay after so many failures in a row; infinite: until an operator unlocks."""
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
    """The refusal of an attempt before its photo is read."""
    message = "there were too many failed sign-ins"
    if wait_s == float("inf"):
        return LockedOut(Reason("limit.stopped", message, "an operator can run facauth unlock"))
    whole_s = ceil(wait_s)
    reason = Reason("limit.delay", message, f"try again in {spoken(whole_s)}")
    return LockedOut(reason, retry_after_s=whole_s)


def spoken(seconds: int) -> str:
    """ "27 s", "8 min": rounded up."""
    return f"{seconds} s" if seconds <= 120 else f"{-(-seconds // 60)} min"


def weight(refusal: FacauthError, *, young: bool = False) -> int:
    """The number of failures that a refusal counts as; 0 if it does not depend on the face.

    young: the store is in its first hour, in which people try it with the photos they enrolled.
    """
    if isinstance(refusal, Attack):
        return 1 if young and refusal.likely_mistake else GRAVEST
    compared = isinstance(refusal, NoMatch) and refusal.reasons[0].code not in NOT_COMPARED
    doubted = any(reason.code in DOUBTS for reason in refusal.reasons)
    return int(compared or doubted or isinstance(refusal, LockedOut))


def read(engine: Engine, subject: str) -> Tries | None:
    """The row of a subject; raises SetupProblem for an impossible one."""
    row = engine.tries(subject)
    if row and not _possible(*row):
        what = "holds an impossible count of failed sign-ins"
        raise unfit("limit.damaged", engine.place, what, "an operator can run facauth unlock")
    return Tries(*row) if row else None


def _possible(turn: object, failures: object, *clocks: object) -> bool:
    """Whether a row is possible; NaN and other types are not."""
    counts = all(isinstance(n, int) and 0 <= n < LARGEST for n in (turn, failures))
    return counts and all(isinstance(s, float) and abs(s) < LARGEST for s in clocks)


def write(writer: Writer, subject: str, tries: Tries) -> None:
    """Set the row of a subject."""
    writer.put_tries(subject, astuple(tries))


def require_subject_unlocked(
    engine: Engine, subject: str, limits: AttemptLimits, clock: Clock
) -> Tries:
    """The row of a subject; raises LockedOut."""
    tries = read(engine, subject) or Tries()
    require_unlocked(tries, limits, clock)
    return tries


def locked(engine: Engine, subject: str, limits: AttemptLimits, clock: Clock) -> LockedOut | None:
    """The lock-out of a subject; None if it is not locked out."""
    try:
        require_subject_unlocked(engine, subject, limits, clock)
    except LockedOut as refusal:
        return refusal
    return None


def begin(
    writer: Writer, subject: str, limits: AttemptLimits, clock: Clock, failures: int = GRAVEST
) -> tuple[Tries, Tries]:
    """Count an attempt as the gravest failure; the row before and after. Raises LockedOut."""
    before = require_subject_unlocked(writer, subject, limits, clock)
    since = Tries(before.round, before.failures + failures, *clock.read_s())
    write(writer, subject, since)
    return before, since


def settle(
    writer: Writer, subject: str, before: Tries, since: Tries, count: int, clock: Clock
) -> None:
    """Settle a refused attempt: it counts as `count` failures."""
    stored = read(writer, subject)
    if stored is None:  # the person was removed in between
        return
    if count == 0 and stored == since:
        write(writer, subject, before)  # as before the attempt
        return
    counted = GRAVEST * int(stored.round == since.round)  # otherwise a sign-in succeeded in between
    failures = max(stored.failures - counted + count, 0)
    clocks = clock.read_s() if count else (stored.failed_at_s, stored.failed_boot_s)
    write(writer, subject, Tries(stored.round, failures, *clocks))


def clear(writer: Writer, subject: str, clock: Clock) -> int:
    """Set the failures to 0; returns their number before."""
    stored = read(writer, subject) or Tries()
    write(writer, subject, Tries(stored.round + 1, 0, *clock.read_s()))
    return stored.failures


def unlock(writer: Writer, subject: str, clock: Clock) -> int | None:
    """As `clear`, also for an impossible row; then returns None."""
    try:
        return clear(writer, subject, clock)
    except SetupProblem:
        writer.delete_tries(subject)
        return None


def take_back(writer: Writer, subject: str, before: Tries) -> None:
    """Take back one failure that was counted after `before`, if its round goes on."""
    tries = read(writer, subject)
    if tries and tries.round == before.round and tries.failures:
        write(writer, subject, replace(before, failures=tries.failures - 1))
