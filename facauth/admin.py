"""The operator's commands on a store; those that need photos are in pipeline.py.

A function takes an open store, or a path if the store cannot be open. Every error is a
FacauthError. Names are returned as they were enrolled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from facauth.errors import Conflict, Reason, SetupProblem, UsageProblem, shown
from facauth.names import looks
from facauth.networks import Checked, Networks
from facauth.places import Place, file_of
from facauth.records import LogState, PersonName, PersonRecord, PersonRow, Restored, Unlocked
from facauth.store.faults import unfit
from facauth.store.keys import NO_KEYS
from facauth.store.keys import KeyAccess as KeyAccess
from facauth.store.keys import KeyKind as KeyKind
from facauth.store.keys import Lock as Lock
from facauth.store.locked import locked as locked
from facauth.store.log import Event as Event
from facauth.store.log import broken_log as broken_log
from facauth.store.person import unknown
from facauth.store.sqlite.exposure import fault_of as fault_of
from facauth.store.store import Store as Store
from facauth.store.store import exists as exists

if TYPE_CHECKING:
    from facauth.spoof.signature import CaptureSignature as CaptureSignature
    from facauth.store.change import Change
    from facauth.store.person import Person
    from facauth.store.upgraded import Migration as Migration
    from facauth.system import System
    from facauth.transfer.document import Ask, Kdf
    from facauth.transfer.document import PersonCopy as PersonCopy

PERIOD_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}  # at most the days of the calendar
MAX_PERIOD_DAYS = 36_500
CLOCKS_APART = timedelta(days=1)  # machines that share a store may differ by this


# --- the store -----------------------------------------------------------------------------------


def opened(place: Place, keys: KeyAccess = NO_KEYS, *, create: bool = False) -> Store:
    """Open the store, for a `with`; create it if `create`. The key is read when first needed.

    Raises SetupProblem for a store that is missing, damaged or of another version.
    """
    return Store.open(place, keys, create=create)


def require_key(store: Store) -> None:
    """Raises SetupProblem if the key of an encrypted store is missing or wrong."""
    store.vault()


def require_store(place: Place, keys: KeyAccess) -> list[str]:
    """Create the store if there is none, and open it; returns its warnings.

    Raises SetupProblem.
    """
    with opened(place, keys, create=True) as store:
        require_key(store)
        return store.warnings


def backup(place: Place, out: Path) -> int:
    """Copy the store into a new file while others use it; returns the number of people.

    Raises UsageProblem if `out` exists or the store is in a database, SetupProblem for a damaged
    store.
    """
    from facauth.store.sqlite.backup import write_backup

    return write_backup(file_of(place, "back it up with pg_basebackup or pg_dump"), out)


def restore(place: Place, source: Path) -> Restored:
    """Replace the store with a copy. Raises SetupProblem; then nothing has changed."""
    from facauth.store.sqlite.backup import restore as put_back

    return Restored(*put_back(file_of(place, "restore a backup of the database itself"), source))


def migrate(place: Place, keys: KeyAccess = NO_KEYS) -> Migration:
    """Update the store of an older facauth; a copy of an older file stays beside it.

    Raises SetupProblem; then nothing has changed.
    """
    if isinstance(place, Path):
        from facauth.store.sqlite import upgrade

        return upgrade.migrate(place, keys)
    from facauth.store.postgres import upgrade as postgres

    return postgres.migrate(place, keys)


def outdated(store: Store) -> list[str]:
    """The names of people whose photos all have encodings of other networks."""
    return [person.name for person in people(store) if person.outdated]


# --- its key -------------------------------------------------------------------------------------


def encrypt(place: Place, kind: KeyKind, keys: KeyAccess) -> Lock:
    """Encrypt the store, or create one. Raises Conflict if it is encrypted, SetupProblem."""
    from facauth.store import rekey

    return rekey.encrypt(place, kind, keys)


def rotate(store: Store, keys: KeyAccess) -> Lock:
    """Give an encrypted store a new key of the same kind. Raises SetupProblem."""
    from facauth.store import rekey

    return rekey.rotate(store, keys)


def export_key(store: Store, out: Path) -> Lock:
    """Copy the key into a new key file. Raises SetupProblem, UsageProblem if `out` exists."""
    from facauth.store import rekey

    return rekey.export(store, out)


# --- people --------------------------------------------------------------------------------------


def people(store: Store) -> list[PersonRow]:
    """All people by name; `needs_new_photo` counts encodings of other networks."""
    return store.people(Networks(Checked(None)).contract)


def known_as(store: Store, name: PersonName) -> str:
    """The name as it was enrolled. Raises Conflict for an unknown name."""
    return store.person(name).name


def show(store: Store, name: PersonName) -> PersonRecord:
    """A person's record, without the data of photos. Raises Conflict for an unknown name."""
    person = store.person(name)
    enrolled_as = person.name
    for row in people(store):
        if row.name == enrolled_as:
            lock, failures = person.locked(), person.failures()
            wait_s = lock.retry_after_s if lock else None
            return PersonRecord.of(row, failures, locked_out=lock is not None, retry_after_s=wait_s)
    raise unknown(name)  # removed meanwhile


def remove(store: Store, *names: PersonName) -> list[str]:
    """Delete people with every byte of their encodings and signatures.

    Raises Conflict for an unknown name; then nobody is deleted.
    """
    with store.transaction() as change:
        return [_removed(change, "remove", store.person(name)) for name in names]


def _removed(change: Change, command: str, person: Person) -> str:
    enrolled_as = person.name
    change.log(command, "removed", uid=person.uid)
    person.remove(change)
    return enrolled_as


def rename(store: Store, old: PersonName, new: PersonName) -> str:
    """Give a person another name; photos and history stay. Returns the old name as enrolled.

    Raises Conflict if the old name is unknown or the new one is taken.
    """
    with store.transaction() as change:
        person = store.person(old)
        enrolled_as, uid = person.name, person.uid
        person.rename(change, new)
        change.log("rename", "renamed", uid=uid)
    return enrolled_as


def lookalikes(store: Store, *names: str) -> list[str]:
    """A note for each of these enrolled names that looks like another one."""
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
    """The replay signatures of a person's photos. Raises Conflict for an unknown name."""
    from facauth.spoof.signature import read_signatures

    return read_signatures(store.person(name).enrolled().signatures)


def unsigned(store: Store, name: PersonName) -> int:
    """The number of a person's photos without a replay signature. Raises Conflict."""
    person = store.person(name)
    person.require()
    return person.unsigned()


def parse_period(raw: str) -> timedelta:
    """ "30d", "12w", "6m" (of 30 days), "3y" (of 365); raises UsageProblem."""
    parts = re.fullmatch(r"([1-9][0-9]{0,4})([dwmy])", raw)
    days = int(parts[1]) * PERIOD_DAYS[parts[2]] if parts else 0
    if not 0 < days <= MAX_PERIOD_DAYS:
        message = f"{shown(raw)} is not a period (at most 100 years)"
        raise UsageProblem(Reason("period.invalid", message, "give one like 30d, 12w, 6m or 3y"))
    return timedelta(days=days)


def unused_for(store: Store, period: timedelta) -> list[PersonRow]:
    """The people whose last use is longer ago than `period`.

    Raises SetupProblem if a last use is in the future, because a clock is wrong then.
    """
    now, people = store.clock.now(), store.people()
    for row in people:
        if row.last_used_at > _stamp(now + CLOCKS_APART):
            last_use = f"the last use of {shown(row.name)}"
            message = f"{last_use} lies in the future by this machine's clock"
            advice = "set the clock, or remove this person"
            raise SetupProblem(Reason("purge.clock", message, advice))
    return [row for row in people if row.last_used_at < _stamp(now - period)]


def purge(store: Store, unused: Sequence[PersonRow], period: timedelta) -> list[PersonRow]:
    """Delete the people of `unused` whose last use is still longer ago; returns them."""
    if not unused:
        return []
    names = {row.name for row in unused}
    with store.transaction() as change:
        deleted = [row for row in unused_for(store, period) if row.name in names]
        for row in deleted:
            _removed(change, "purge", store.person(row.name))
    return deleted


# --- log and limits ------------------------------------------------------------------------------


def unlock(store: Store, name: PersonName | None) -> Unlocked:
    """Forget the failed sign-ins of a person; None: of sign-ins without a name.

    Raises Conflict for an unknown name.
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
    """Verify the log. A broken log is returned, not raised; see broken_log."""
    entries, broken = store.verify_log()
    head = None if broken else next((event.hash for event in store.events(entries - 1)), None)
    return LogState(entries, head, broken, sealed=store.lock() is not None)


def prune_log(store: Store, before: str) -> int:
    """Delete the oldest entries, up to the first that is not older; returns their number.

    before: UTC, ISO 8601, see `ago`. Raises SetupProblem for a broken log.
    """
    with store.transaction() as change:
        return change.prune_log(before)


def ago(period: timedelta) -> str:
    """The time `period` ago, in the log's format."""
    return _stamp(datetime.now(UTC) - period)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


# --- export and import ---------------------------------------------------------------------------


def chosen(store: Store, name: PersonName | None) -> list[PersonRow]:
    """The person with this name; None: everybody. Raises Conflict if there is nobody."""
    rows = store.people()
    if name is not None:
        known = store.person(name).name
        return [row for row in rows if row.name == known]
    if not rows:
        message = f"nobody is enrolled in {shown(store.place)}"
        raise Conflict(Reason("export.nobody", message, "name another store"))
    return rows


def export(
    store: Store, name: PersonName | None, lock: tuple[Kdf, bytes] | None
) -> tuple[list[PersonCopy], str]:
    """The exported people, and the text of the file. name: one person; None: everybody.

    lock: see document.new_lock; None: not encrypted. Other processes do not wait. If the store can
    be written, the log has the events before the text is returned. Raises Conflict if there is
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
        raise unfit("store.damaged", store.place, what, "run facauth doctor") from None
    if store.read_only:
        return copies, text
    with store.transaction() as change:
        for person in (store.person(copy.name) for copy in copies):
            change.log("export", "exported", uid=person.uid if person.exists else None)
    return copies, text


def read_export(content: bytes, source: str, ask: Ask) -> list[PersonCopy]:
    """The people of an exported file; asks for the passphrase if the file is encrypted.

    source: names the file in messages. Raises SetupProblem unless the whole file is sound.
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
    """Enrol all copies by the rules of `register`, or none.

    Templates of another contract are kept, and never compared. Sign-ins go on while the copies are
    compared; only writing locks the store. Raises Conflict for a name that is enrolled (nothing is
    merged), for photos that do not show one person and, unless `allow_duplicate`, for a face that
    is enrolled under another name.
    advance: called after each person.
    """
    from facauth.decision.enrolment import require_newcomer, require_newcomers_apart
    from facauth.decision.match import Gallery
    from facauth.store.arrivals import sealed

    store, calibration = system.store, system.calibration
    contract = system.stages.contract()

    def require_all_admitted() -> None:
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
        with store.judged(require_all_admitted) as (change, _):
            change.add_people(rows)


def _require_free(store: Store, name: PersonName) -> None:
    enrolled_as = store.person(name).enrolled_as
    if enrolled_as is not None:
        advice = "nobody was imported; rename or remove the enrolled person first"
        raise Conflict(Reason("name.taken", f"{enrolled_as} is enrolled already", advice))
