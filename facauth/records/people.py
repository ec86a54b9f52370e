"""The commands that need nothing but the store: show, remove, rename and purge."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta

from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.names import looks
from facauth.records.clock import stamp
from facauth.records.person import unknown
from facauth.records.store import Store
from facauth.structs import MAX_CONSENT_CHARACTERS, Consent, PersonName, PersonRow

PERIOD_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}  # never longer than by the calendar
MAX_PERIOD_DAYS = 36_500
CLOCKS_APART = timedelta(days=1)  # so far machines that share a store may disagree


def consent(text: str | None, purpose: str | None) -> Consent | None:
    """What was agreed to; raises UsageProblem for a text that cannot be kept, or none at all."""
    if text is None:
        if purpose is None:
            return None
        reason = Reason("usage", "--purpose is given without --consent", "give both")
        raise UsageProblem(reason)
    return Consent(_words(text), None if purpose is None else _words(purpose))


def _words(raw: str) -> str:
    text = unicodedata.normalize("NFC", raw.strip())
    if not 1 <= len(text) <= MAX_CONSENT_CHARACTERS or not text.isprintable():
        advice = f"give 1 to {MAX_CONSENT_CHARACTERS:,} printable characters"
        raise UsageProblem(Reason("consent.invalid", "that consent cannot be kept", advice))
    return text


def record(store: Store, name: PersonName, contract: str) -> PersonRow:
    """One person as `list` knows them. Raises Conflict if nobody has the name."""
    known_as = store.person(name).name
    for row in store.people(contract):
        if row.name == known_as:
            return row
    raise unknown(name)


def remove(store: Store, *names: PersonName) -> None:
    """Delete people so that no byte of encodings or signatures stays in the store."""
    with store.transaction() as change:
        for person in map(store.person, names):
            change.log("remove", "removed", uid=person.uid)
            person.remove(change)


def rename(store: Store, old: PersonName, new: PersonName) -> None:
    """Give a person another name; photos and history stay."""
    with store.transaction() as change:
        store.person(old).rename(change, new)
        change.log("rename", "renamed", uid=store.person(new).uid)


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


def parse_period(raw: str) -> timedelta:
    """ "30d", "12w", "6m" (of 30 days), "3y" (of 365); raises UsageProblem."""
    parts = re.fullmatch(r"([1-9][0-9]{0,4})([dwmy])", raw)
    days = int(parts[1]) * PERIOD_DAYS[parts[2]] if parts else 0
    if not 0 < days <= MAX_PERIOD_DAYS:
        message = f"{shown(raw)} is no period of at most 100 years"
        raise UsageProblem(Reason("period.invalid", message, "give one like 30d, 12w, 6m or 3y"))
    return timedelta(days=days)


def last_used_at(row: PersonRow) -> str:
    """When somebody last signed in, or was last given a photo."""
    return max(row.enrolled_at, row.last_photo_at or "", row.last_sign_in_at or "")


def unused_for(store: Store, period: timedelta) -> list[PersonRow]:
    """Those who were last used longer ago than that.

    Raises SetupProblem if anybody was used in the future: then clocks cannot be relied upon.
    """
    now, people = store.clock.now(), store.people()
    for row in people:
        if last_used_at(row) > stamp(now + CLOCKS_APART):
            message = f"by this clock {shown(row.name)} was last used in the future"
            raise SetupProblem(Reason("purge.clock", message, "set the clock, or remove them"))
    return [row for row in people if last_used_at(row) < stamp(now - period)]


def purge(store: Store, unused: Sequence[PersonRow], period: timedelta) -> list[PersonRow]:
    """Delete those of `unused` who still are; who was deleted."""
    if not unused:
        return []
    names = {row.name for row in unused}
    with store.transaction() as change:
        gone = [row for row in unused_for(store, period) if row.name in names]
        for person in (store.person(row.name) for row in gone):
            change.log("purge", "removed", uid=person.uid)
            person.remove(change)
    return gone
