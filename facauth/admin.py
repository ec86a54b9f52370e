"""What an operator does with a store, beside what is done with photos (pipeline.py).

Each verb takes an open store, or a path where none can be open. All that is raised is a
FacauthError. Names come back as they were enrolled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from facauth.errors import Conflict, Reason, SetupProblem, UsageProblem, shown
from facauth.names import looks
from facauth.networks import Checked, Networks
from facauth.store.faults import RESTORE, unfit
from facauth.store.keys import NO_KEYS
from facauth.store.keys import KeyAccess as KeyAccess
from facauth.store.keys import KeyKind as KeyKind
from facauth.store.keys import Lock as Lock
from facauth.store.log import Event as Event
from facauth.store.log import broken_log as broken_log
from facauth.store.person import unknown
from facauth.store.sqlite.exposure import fault_of as fault_of
from facauth.store.store import Store as Store
from facauth.structs import (
    Inspected,
    LogState,
    PersonName,
    PersonRecord,
    PersonRow,
    Restored,
    Unlocked,
)

if TYPE_CHECKING:
    from pathlib import Path

    from facauth.spoof.signature import CaptureSignature as CaptureSignature
    from facauth.store.change import Change
    from facauth.store.person import Person
    from facauth.store.sqlite.upgrade import Migration as Migration
    from facauth.system import System
    from facauth.transfer.document import Ask, Kdf
    from facauth.transfer.document import PersonCopy as PersonCopy

PERIOD_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}  # never longer than by the calendar
MAX_PERIOD_DAYS = 36_500
CLOCKS_APART = timedelta(days=1)  # so far machines that share a store may disagree


# --- the store -----------------------------------------------------------------------------------


def opened(path: Path, keys: KeyAccess = NO_KEYS, *, create: bool = False) -> Store:
    """The store, for a `with`; made if `create`. Its key is looked for when it is needed.

    Raises SetupProblem unless it is a sound store of this version.
    """
    return Store.open(path, keys, create=create)


def require_key(store: Store) -> None:
    """Raises SetupProblem without the key of an encrypted store, and for a key that is not its."""
    store.vault()


def require_store(path: Path, keys: KeyAccess) -> list[str]:
    """Make the store if there is none, and open it; a line for each way others can reach it.

    Raises SetupProblem.
    """
    with opened(path, keys, create=True) as store:
        require_key(store)
        return store.warnings


def inspect(path: Path) -> Inspected:
    """How many people are in a store that passes every check of its file; else SetupProblem."""
    with opened(path) as store:
        if store.faults():
            raise SetupProblem(Reason("store.damaged", f"{shown(path)} is damaged", RESTORE))
        everybody = people(store)
    return Inspected(len(everybody), sum(row.needs_new_photo > 0 for row in everybody))


def backup(path: Path, out: Path) -> int:
    """Copy the store into a new file while others use it; how many people are in it.

    Raises UsageProblem if there is something at `out`, SetupProblem for an unsound store.
    """
    from facauth.store.sqlite.backup import write_backup

    return write_backup(path, out)


def restore(path: Path, source: Path) -> Restored:
    """Put a copy in the place of the store. Raises SetupProblem, and nothing has changed then."""
    from facauth.store.sqlite.backup import restore as put_back

    return Restored(*put_back(path, source))


def migrate(path: Path, keys: KeyAccess = NO_KEYS) -> Migration:
    """Bring the store of an older facauth up to date; a copy of it stays beside it.

    Raises SetupProblem, and the store is as it was then.
    """
    from facauth.store.sqlite.upgrade import migrate as bring_up_to_date

    return bring_up_to_date(path, keys)


def outdated(store: Store) -> list[str]:
    """Who cannot sign in without a new photo: all theirs were made for other networks."""
    return [person.name for person in people(store) if person.outdated]


# --- its key -------------------------------------------------------------------------------------


def encrypt(path: Path, kind: KeyKind, keys: KeyAccess) -> Lock:
    """Encrypt the store, or make an encrypted one. Raises Conflict if it is, SetupProblem."""
    from facauth.store import rekey

    return rekey.encrypt(path, kind, keys)


def rotate(store: Store, keys: KeyAccess) -> Lock:
    """Give an encrypted store another key of the same kind. Raises SetupProblem."""
    from facauth.store import rekey

    return rekey.rotate(store, keys)


def export_key(store: Store, out: Path) -> Lock:
    """Copy the key into a new key file. Raises SetupProblem, UsageProblem if `out` exists."""
    from facauth.store import rekey

    return rekey.export(store, out)


# --- people --------------------------------------------------------------------------------------


def people(store: Store) -> list[PersonRow]:
    """Everybody by name; photos that other networks than these encoded need a new one."""
    return store.people(Networks(Checked(None)).contract)


def known_as(store: Store, name: PersonName) -> str:
    """The name as it was enrolled. Raises Conflict if nobody has it."""
    return store.person(name).name


def show(store: Store, name: PersonName) -> PersonRecord:
    """What is kept of a person, without the photos' data. Raises Conflict for an unknown name."""
    person = store.person(name)
    enrolled_as = person.name
    for row in people(store):
        if row.name == enrolled_as:
            lock, failures = person.locked(), person.failures()
            wait_s = lock.retry_after_s if lock else None
            return PersonRecord.of(row, failures, locked_out=lock is not None, retry_after_s=wait_s)
    raise unknown(name)  # by now


def remove(store: Store, *names: PersonName) -> list[str]:
    """Delete people so that no byte of encodings or signatures stays; all of them or, if nobody
    has one of the names, none: Conflict.
    """
    with store.transaction() as change:
        return [_removed(change, "remove", store.person(name)) for name in names]


def _removed(change: Change, command: str, person: Person) -> str:
    enrolled_as = person.name
    change.log(command, "removed", uid=person.uid)
    person.remove(change)
    return enrolled_as


def rename(store: Store, old: PersonName, new: PersonName) -> str:
    """Give a person another name; photos and history stay. The name before.

    Raises Conflict if nobody has the old name or somebody has the new one.
    """
    with store.transaction() as change:
        person = store.person(old)
        enrolled_as, uid = person.name, person.uid
        person.rename(change, new)
        change.log("rename", "renamed", uid=uid)
    return enrolled_as


def lookalikes(store: Store, *names: str) -> list[str]:
    """A note for each of these names, as enrolled, that looks like another one."""
    enrolled = dict[tuple[str, str], set[str]]()
    for row in store.people():
        for look in looks(row.name):
            enrolled.setdefault(look, set()).add(row.name)
    notes = []
    for name in names:
        alike = set().union(*(enrolled.get(look, ()) for look in looks(name))) - {name}
        if alike:
            others = ", ".join(map(shown, sorted(alike)))
            notes.append(f"the name {shown(name)} looks like that of {others}")
    return notes


def signatures(store: Store, name: PersonName) -> list[CaptureSignature]:
    """What finds a person's photos again. Raises Conflict if nobody has the name."""
    from facauth.spoof.signature import read_signatures

    return read_signatures(store.person(name).enrolled().signatures)


def unsigned(store: Store, name: PersonName) -> int:
    """How many photos of a person cannot be found again. Raises Conflict as `signatures` does."""
    person = store.person(name)
    person.require()
    return person.unsigned()


def parse_period(raw: str) -> timedelta:
    """ "30d", "12w", "6m" (of 30 days), "3y" (of 365); raises UsageProblem."""
    parts = re.fullmatch(r"([1-9][0-9]{0,4})([dwmy])", raw)
    days = int(parts[1]) * PERIOD_DAYS[parts[2]] if parts else 0
    if not 0 < days <= MAX_PERIOD_DAYS:
        message = f"{shown(raw)} is no period of at most 100 years"
        raise UsageProblem(Reason("period.invalid", message, "give one like 30d, 12w, 6m or 3y"))
    return timedelta(days=days)


def unused_for(store: Store, period: timedelta) -> list[PersonRow]:
    """Everybody whose last use is longer ago: whom `purge` would delete.

    Raises SetupProblem if a last use is in the future: then clocks cannot be relied upon.
    """
    now, people = store.clock.now(), store.people()
    for row in people:
        if row.last_used_at > _stamp(now + CLOCKS_APART):
            message = f"by this clock {shown(row.name)} was last used in the future"
            raise SetupProblem(Reason("purge.clock", message, "set the clock, or remove them"))
    return [row for row in people if row.last_used_at < _stamp(now - period)]


def purge(store: Store, unused: Sequence[PersonRow], period: timedelta) -> list[PersonRow]:
    """Delete those of `unused` whose last use still is longer ago; who was deleted."""
    if not unused:
        return []
    names = {row.name for row in unused}
    with store.transaction() as change:
        gone = [row for row in unused_for(store, period) if row.name in names]
        for row in gone:
            _removed(change, "purge", store.person(row.name))
    return gone


# --- log and limits ------------------------------------------------------------------------------


def unlock(store: Store, name: PersonName | None) -> Unlocked:
    """Forget a person's failed sign-ins, or (None) those that name nobody.

    Raises Conflict if nobody has the name.
    """
    with store.transaction() as change:
        person = None if name is None else store.person(name)
        if person is None:
            return Unlocked(None, change.unlock(None))
        return Unlocked(person.name, change.unlock(person.uid))


def events(store: Store, after: int = 0) -> Iterator[Event]:
    """The log's entries with a higher id, oldest first."""
    return store.events(after)


def verify_log(store: Store) -> LogState:
    """What the log is worth. A broken one is told, not raised; see broken_log."""
    entries, broken = store.verify_log()
    head = None if broken else next((event.hash for event in store.events(entries - 1)), None)
    return LogState(entries, head, broken, sealed=store.lock() is not None)


def prune_log(store: Store, before: str) -> int:
    """Delete the oldest entries, up to the first that is not older; how many there were.

    before: UTC, ISO 8601, see `ago`. Raises SetupProblem for a log that is broken.
    """
    with store.transaction() as change:
        return change.prune_log(before)


def ago(period: timedelta) -> str:
    """When that was, as the log has times."""
    return _stamp(datetime.now(UTC) - period)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


# --- export and import ---------------------------------------------------------------------------


def chosen(store: Store, name: PersonName | None) -> list[PersonRow]:
    """The person with this name, or (None) everybody; raises Conflict if that is nobody."""
    rows = store.people()
    if name is not None:
        known = store.person(name).name
        return [row for row in rows if row.name == known]
    if not rows:
        message = f"nobody is enrolled in {shown(store.path)}"
        raise Conflict(Reason("export.nobody", message, "name another store"))
    return rows


def export(
    store: Store, name: PersonName | None, lock: tuple[Kdf, bytes] | None
) -> tuple[list[PersonCopy], str]:
    """Who was exported, and the file: the person with this name, or (None) everybody.

    lock: of the file, see document.new_lock; None: in the clear. Others need not wait. The events
    are written before anything leaves, if the store can be written. Raises Conflict if it is
    nobody, SetupProblem for a damaged store.
    """
    from facauth.transfer.document import PersonCopy, Unsound, write

    with store.snapshot():
        rows = chosen(store, name)
        copies = [PersonCopy.of(row, store.person(row.name).templates()) for row in rows]
    try:
        text = write(copies, lock)
    except Unsound as fault:
        what = f"cannot be exported: {fault}"
        raise unfit("store.damaged", store.path, what, "run facauth doctor") from None
    if store.read_only:
        return copies, text
    with store.transaction() as change:
        for person in (store.person(copy.name) for copy in copies):
            change.log("export", "exported", uid=person.uid if person.exists else None)
    return copies, text


def read_export(content: bytes, source: str, ask: Ask) -> list[PersonCopy]:
    """Everybody in an exported file; the passphrase is asked for if there is one.

    source: names the file in messages. Raises SetupProblem unless all of it is sound.
    """
    from facauth.transfer.document import read

    return read(content, source, ask)


def import_(
    system: System,
    copies: Sequence[PersonCopy],
    *,
    allow_duplicate: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Enrol everybody by the rules of `register`, or nobody.

    Templates of another contract are kept, and never compared. Others sign in while everybody is
    compared; only the writing is alone. Raises Conflict for a name that is enrolled (nothing is
    merged), for photos that do not show one person and, unless `allow_duplicate`, for a face with
    another name.
    advance: called for each person who was looked at.
    """
    from facauth.decision.enrolment import require_newcomer, require_newcomers_apart
    from facauth.decision.match import Gallery
    from facauth.store.arrivals import sealed

    store, calibration = system.store, system.calibration
    contract = system.stages.contract()

    def admitted() -> None:
        newcomers = [person.newcomer(contract) for person in copies]
        for person, newcomer in zip(copies, newcomers, strict=True):
            _require_free(store, person.name)
            require_newcomer(newcomer, calibration)
            advance()
        if not allow_duplicate:
            enrolled = Gallery.of(store.encodings(contract), calibration.space)
            require_newcomers_apart(newcomers, enrolled, calibration)

    with store.recorded("import"):
        rows = list(sealed(store.vault(), [person.arrival() for person in copies]))
        with store.judged(admitted) as (change, _):
            change.add_people(rows)


def _require_free(store: Store, name: PersonName) -> None:
    enrolled_as = store.person(name).enrolled_as
    if enrolled_as is not None:
        advice = "nobody was imported; rename or remove that one first"
        raise Conflict(Reason("name.taken", f"{enrolled_as} is enrolled already", advice))
