"""Clients that register, sign in, fail and remove, and write down what they were told.

Each client is a process of its own, with made-up faces (kills.py), and people of its own. Before
each operation it writes what it is about to do, and then what became of it: so after a kill, of the
client or of the database, it is known what was acknowledged, what was refused, and what may be done
or not (`Told`). `wrong` compares that with the store.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from kills import CONTRACT, encoding, made_up
from stores import Kept

from facauth import admin
from facauth.errors import FacauthError, LockedOut, NoMatch, Reason
from facauth.pipeline import register, sign_in
from facauth.records import PersonName
from facauth.settings import DEFAULT
from facauth.store.limits import GRAVEST
from facauth.store.store import Store
from facauth.structs import EnrolmentTerms, Terms
from facauth.system import System

AT_MOST = 4  # people of a client at once
RETRY_S = 0.05
NO_MATCH = NoMatch(Reason("match.none", "no", "no"))
# What became of an operation: done; not done, for certain; done or not; an answer that is wrong.
DONE, NOT, UNKNOWN = "done", "not", "unknown"
VERDICTS = {
    "register": "registered",
    "remove": "removed",
    "sign-in": "signed_in",
    "fail": "no_match",
}


@dataclass(slots=True)
class Told:
    """What clients know of their people, by what they were told."""

    enrolled: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    victims: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # -> failures: certain, possible
    done: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # by the code of the reason
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, journals: Sequence[Path]) -> Told:
        """What these journals tell."""
        told = cls()
        for journal in journals:
            text = journal.read_text() if journal.exists() else ""
            lines = [line.split(" ", 2) for line in text.splitlines()]
            for (kind, operation, name), after in zip_longest(lines, lines[1:], fillvalue=["?"]):
                if kind == "asked":
                    answered = after[0] in (DONE, NOT, UNKNOWN)
                    told.add(operation, name, after[0] if answered else UNKNOWN)
                elif kind == "wrong":
                    told.wrong.append(f"{operation} {name}")
                elif kind == NOT:
                    told.refused[name] += 1
        return told

    def add(self, operation: str, name: str, became: str) -> None:
        """Count an operation and what became of it."""
        if became == DONE:
            self.done[operation] += 1
        elif became == UNKNOWN:
            self.unknown[operation] += 1
        match operation, became:
            case "register", _:
                {DONE: self.enrolled, NOT: self.gone, UNKNOWN: self.maybe}[became].add(name)
            case "remove", ("done" | "unknown"):
                self.enrolled.discard(name)
                (self.gone if became == DONE else self.maybe).add(name)
            case "fail", _:
                certain, possible = self.victims.get(name, (0, 0))
                certain += became == DONE
                # Of one that was not settled nothing may be counted, or all.
                self.victims[name] = certain, possible + GRAVEST * (became != DONE)


def work(
    kept: Kept, who: int, journal: Path, seed: int, seconds: float, rest: Path | None = None
) -> None:
    """One client, until its time is over or `rest` is there.

    It goes on where the one before it was killed.
    """
    dice, end = random.Random(seed), time.monotonic() + seconds
    file = os.open(journal, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    journal_number = len(journal.read_text().splitlines())
    told, locked = Told.of([journal]), set[str]()
    while time.monotonic() < end and not (rest and rest.exists()):
        journal_number += 1
        operation, name = _next(told, locked, dice, f"{who}-{journal_number}")
        os.write(file, f"asked {operation} {name}\n".encode())
        became, code = _tried(kept, operation, name, locked)
        os.write(file, f"{became} {operation} {code or name}\n".encode())
        told.add(operation, name, became if became != "wrong" else UNKNOWN)
        if became == NOT:
            time.sleep(RETRY_S)


def _next(told: Told, locked: set[str], dice: random.Random, new: str) -> tuple[str, str]:
    victims = {name for name in told.enrolled if name.startswith("v")} - locked
    people = sorted(told.enrolled - victims - locked)
    if not victims:
        return "register", f"v{new}"
    if len(people) < AT_MOST and dice.random() < 0.4:
        return "register", f"p{new}"
    operation = dice.choice(["sign-in", "sign-in", "remove", "fail"] if people else ["fail"])
    return operation, dice.choice(sorted(victims) if operation == "fail" else people)


def _tried(kept: Kept, operation: str, name: str, locked: set[str]) -> tuple[str, str | None]:
    """What became of it, and the code of its refusal."""
    try:
        with kept.open() as store:
            act(store, operation, PersonName.parse(name))
    except LockedOut as refusal:
        locked.add(name)
        return NOT, refusal.reasons[0].code
    except FacauthError as refusal:
        code = refusal.reasons[0].code
        # In a file, a removal is done and then refused if readers keep what was deleted in the log.
        unsure = code == "store.busy" and operation == "remove" and isinstance(kept.place, Path)
        if code == "store.unknown" or unsure:
            return UNKNOWN, None
        return (NOT if code.startswith("store.") else "wrong"), code
    except Exception as error:  # noqa: BLE001 - whatever it is, no client may see it
        return "wrong", repr(error).replace("\n", " ")
    return DONE, None


def act(store: Store, operation: str, name: PersonName) -> None:
    """Do it, as the commands do."""
    system = System.of(made_up(), store)
    match operation:
        case "register":
            register(system, name, [f"{name.text} 1"], EnrolmentTerms(DEFAULT))
        case "remove":
            admin.remove(store, name)
        case "sign-in":
            done = sign_in(system, f"{name.text} 2", Terms.of(None, name.text, DEFAULT))
            assert done.person == name.text
        case "fail":
            try:
                with store.attempt(name.text):
                    raise NO_MATCH
            except NoMatch:
                pass


def wrong(store: Store, told: Told) -> list[str]:
    """How the store differs from what clients were told."""
    entries, broken = store.verify_log()
    found = [f"the log is broken: {broken}"] if broken else []
    found += [*store.faults(), *told.wrong]
    photos = dict(store.encodings(CONTRACT))
    people = {row.name: row.photos for row in store.people() if row.name[0] in "pv"}
    found += [f"{name} is lost" for name in told.enrolled - people.keys()]
    found += [f"{name} is there" for name in people.keys() - told.enrolled - told.maybe]
    for name, count in people.items():
        if count != 1 or photos[name] != encoding(f"{name} 1").as_bytes():
            found.append(f"{name} is not whole")
    assert entries == sum(1 for _ in store.events())
    return [*found, *miscounted(store, told), *misread(store, told)]


def miscounted(store: Store, told: Told) -> list[str]:
    """Failures that are not counted, or counted too often."""
    found, people = [], {row.name for row in store.people()}
    for name in people:
        if name.startswith("v"):
            counted, (certain, possible) = (
                store.person(name).failures(),
                told.victims.get(name, (0, 0)),
            )
            if not certain <= counted <= certain + possible:
                found.append(f"{name}: {counted} failures of {certain} to {certain + possible}")
    return found


def misread(store: Store, told: Told) -> list[str]:
    """Events that the log lacks, or should not have."""
    found, logged = [], Counter(event.verdict for event in store.events())
    for operation, verdict in VERDICTS.items():
        least, most = told.done[operation], told.done[operation] + told.unknown[operation]
        refused = operation == "fail"  # one that is refused for the store is logged all the same
        if logged[verdict] < least or (logged[verdict] > most and not refused):
            found.append(f"the log has {logged[verdict]} {verdict} of {least} to {most}")
    return found
