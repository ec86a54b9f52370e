"""All of a store, from one engine to another; what is sealed stays sealed.

Left behind are drawn challenges, which live two minutes, and search blocks, which are made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Literal

from facauth.errors import Reason, UsageProblem, shown
from facauth.files import erase, give_name, sync_folder
from facauth.names import folded
from facauth.store import limits
from facauth.store.faults import unfit
from facauth.store.files import logs
from facauth.store.store import engine_at, exists

if TYPE_CHECKING:
    from facauth.places import Place
    from facauth.records import PersonRow
    from facauth.store.engine import Engine, Row, Writer
    from facauth.store.sealing import SealedPerson

ENDS: tuple[Literal["head"], Literal["start"]] = ("head", "start")


def copy_store(source: Place, target: Place) -> int:
    """Copy a store to another place, where there is none; returns the number of people.

    Nothing is left there if it fails. Raises UsageProblem if the target holds a store, or is a
    database for a store that is not encrypted; SetupProblem.
    """
    with closing(engine_at(source, create=False)) as before:
        _require_room(before, target)
        if isinstance(target, Path):
            return _copied_to_file(before, target)
        return _copied(before, target)


def _copied(source: Engine, target: Place) -> int:
    with (
        closing(engine_at(target, create=True)) as after,
        source.snapshot(),
        after.transaction() as writer,
    ):
        return copy(source, writer)


def _copied_to_file(source: Engine, target: Path) -> int:
    """Under another name until it is whole: nobody can use half of it, a killed process leaves no
    empty store, and what others made at `target` meanwhile stays.
    """
    making = target.with_name(f".{target.name}.{token_hex(4)}.facauth-new")
    try:
        try:
            people = _copied(source, making)
            give_name(making, target)
        finally:
            for left in (making, *logs(making)):
                erase(left)
        sync_folder(target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        cause = f"cannot be made ({error.strerror})"
        raise unfit("store.unreadable", target, cause, "check its folder") from error
    return people


def _require_room(source: Engine, target: Place) -> None:
    if isinstance(target, Path):
        if exists(target):
            raise _taken(target)
    elif source.lock() is None:
        message = f"{shown(source.place)} is not encrypted, and a store in a database always is"
        raise UsageProblem(Reason("copy.not_encrypted", message, "run facauth key init first"))


def _taken(target: Place) -> UsageProblem:
    message = f"there is a store in {shown(target)} already"
    return UsageProblem(Reason("copy.exists", message, "name another place"))


def copy(source: Engine, writer: Writer) -> int:
    """Copy everything into an empty store; returns the number of people.

    Call it within a snapshot of the source. Delays after failed sign-ins begin again: two machines
    do not have the time since their start in common. Raises UsageProblem if the target holds
    anything, SetupProblem if what is read back differs.
    """
    if writer.everybody() or writer.entries() or writer.lock():
        raise _taken(writer.place)
    if lock := source.lock():
        writer.put_lock(lock)
    known = {row.name: row for row in source.people(None)}
    people = source.everybody()
    for person in people:
        _copy_person(source, writer, person, known[person.name])
    _copy_log(source, writer)
    for subject in (limits.EVERYBODY, *(person.uid for person in people)):
        if tries := limits.read(source, subject):
            now = limits.Tries(tries.round, tries.failures, *writer.clock.read_s())
            limits.write(writer, subject, now)
    if digest(source) != digest(writer):
        raise unfit("copy.differs", writer.place, "differs from what was copied", "try again")
    return len(people)


def _copy_person(source: Engine, writer: Writer, person: SealedPerson, row: PersonRow) -> None:
    number = writer.add_person(
        person.uid, person.name, folded(person.name), person.wrapped_key, row.enrolled_at
    )
    if row.consent is not None:
        writer.set_consent(number, row.consent, row.purpose, row.consent_at)
    if row.last_sign_in_at is not None:
        writer.set_last_sign_in(person.uid, row.last_sign_in_at)
    for _, contract, at, template in source.templates(person.id):
        writer.add_template(number, contract, template, at)


def _copy_log(source: Engine, writer: Writer) -> None:
    writer.append(source.entries())
    for end in ENDS:
        if mark := source.mark(end):
            writer.put_mark(end, mark)


def digest(engine: Engine) -> bytes:
    """A hash of all that `copy` copies, whatever the engine; no two stores have the same one."""
    found = blake2b()
    for part in _contents(engine):
        found.update(repr(part).encode("utf-8", "surrogatepass"))
    return found.digest()


def _contents(engine: Engine) -> Iterator[object]:
    yield engine.lock()
    yield engine.people(None)
    for person in sorted(engine.everybody(), key=lambda person: person.uid):
        yield person.uid, person.name, person.wrapped_key
        yield [_storable(row) for row in engine.templates(person.id)]
        yield _count(engine.tries(person.uid))
    yield _count(engine.tries(limits.EVERYBODY))
    yield engine.entries()
    yield [engine.mark(end) for end in ENDS]


def _storable(row: Row) -> Row:
    _, contract, at, template = row
    kept = bool(template.accepted_spoof), bool(template.learned)
    return contract, at, template.encoding, template.signature, kept


def _count(tries: Row | None) -> Row:
    return tries[:2] if tries else ()


def in_memory(source: Engine) -> Engine:
    """A copy in memory, which is never written back."""
    from facauth.store.sqlite.engine import SqliteEngine

    made = SqliteEngine.empty(source.place)
    with source.snapshot(), made.transaction() as writer:
        copy(source, writer)
    return made
