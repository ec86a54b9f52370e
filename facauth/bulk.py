"""Enrolment of many people: every photo is examined and everybody is judged before anything is
written.

The rules are those of `register`. Only their reach differs: a photo that cannot be used is left out
and reported, and the person is enrolled with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from facauth.decision.enrolment import (
    Newcomer,
    require_new_pictures,
    require_one_person,
    taken_faces,
)
from facauth.decision.match import Gallery
from facauth.enrolling import admission, enrolment
from facauth.errors import Conflict, FacauthError, Reason
from facauth.several import SEVERITY
from facauth.spoof.signature import CaptureSignature, read_signatures
from facauth.stages import Enrolment, Look
from facauth.store.attempt import codes, worth_an_event
from facauth.store.sealing import Template
from facauth.store.spool import Spool, Waiting
from facauth.structs import NOTHING_COMPARED, Encoding, ReplayVerdict

if TYPE_CHECKING:
    from facauth.roster import Entry
    from facauth.stages import Stages
    from facauth.store.change import Change
    from facauth.store.store import Store
    from facauth.structs import EnrolmentTerms
    from facauth.system import System

SAME_FILE = 0.9999  # similarity of two encodings of one file; two photos of a face reach .98
CHUNK = 64  # people of one transaction
ADVICE = "give each face one name, or --allow-duplicate"

# --- photos, in several processes ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One person's photos, and by what those that are enrolled already are known."""

    entry: Entry
    digests: frozenset[bytes] = frozenset()  # of the stored signatures
    unsigned: tuple[bytes, ...] = ()  # encodings of the photos without a signature


@dataclass(frozen=True, slots=True, eq=False)
class Usable:
    """A photo that may be enrolled."""

    file: str
    template: Template
    signatures: tuple[bytes, ...]  # of each frame


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What was found on one person's photos; it can be sent to another process."""

    entry: Entry
    usable: tuple[Usable, ...]
    known: tuple[str, ...]  # files that are enrolled already
    refused: tuple[tuple[str, FacauthError], ...]


def tasks(store: Store, people: Sequence[Entry]) -> Iterator[Task]:
    """A task for each person, with the marks of the photos that are enrolled already."""
    for entry in people:
        photos = [template for _, _, template in store.person(entry.name).templates()]
        signed = frozenset(sha256(each.signature).digest() for each in photos if each.signature)
        yield Task(entry, signed, tuple(each.encoding for each in photos if not each.signature))


class Examine:
    """Examines one person's photos after the other's, with networks that are loaded once."""

    def __init__(self, make: Callable[[], Stages], asked: EnrolmentTerms) -> None:
        self._stages, self._asked = make(), asked
        self._calibration = self._stages.calibration()

    def __call__(self, task: Task) -> Examined:
        """What is found on the photos; a refusal concerns one photo, or all of the person."""
        found: list[tuple[str, Enrolment]] = []
        known: list[str] = []
        refused: list[tuple[str, FacauthError]] = []
        for file in task.entry.files:
            try:
                photo = self._photo(file, task, [each for _, each in found])
            except (*SEVERITY, Conflict) as refusal:
                refused.append((file, refusal))
                continue
            if photo is None:
                known.append(file)
            else:
                found.append((file, photo))
        try:
            require_one_person([photo.encoding for _, photo in found], self._calibration)
        except Conflict as refusal:
            refused += [(file, refusal) for file, _ in found]
            found = []
        usable = tuple(
            Usable(
                file,
                photo.template(self._asked),
                tuple(each.to_bytes() for each in photo.signatures),
            )
            for file, photo in found
        )
        return Examined(task.entry, usable, tuple(known), tuple(refused))

    def _photo(self, file: str, task: Task, before: Sequence[Enrolment]) -> Enrolment | None:
        """The photo, or None if it is enrolled already; raises the refusal of it."""
        if task.digests and self._digest(file) in task.digests:
            return None
        photo = enrolment(self._stages, self._calibration, file, self._asked)
        for stored in task.unsigned:
            same = float(photo.encoding.vector @ Encoding.of("", stored).vector)
            if same >= SAME_FILE:
                return None
        replay = photo.look.replay(photo.signatures, [each.signatures[0] for each in before])
        require_new_pictures([*[NOTHING_COMPARED] * len(before), replay])
        return photo

    def _digest(self, file: str) -> bytes:
        with self._stages.look(file) as look:
            look.subject()
            return sha256(look.signatures()[0].to_bytes()).digest()


# --- people --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A usable photo while it waits: only the encoding is in memory."""

    file: str
    encoding: Encoding
    accepted_spoof: bool
    signatures: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A person with usable photos."""

    entry: Entry
    photos: tuple[Kept, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Whether a candidate may be enrolled."""

    refusal: Conflict | None = None
    known: frozenset[str] = frozenset()  # files that show a picture that is enrolled already


class Arrivals:
    """The candidates of one run. Signatures wait in a sealed file, so memory stays small."""

    def __init__(self, system: System, asked: EnrolmentTerms, spool: Spool) -> None:
        self._system, self._asked, self._spool = system, asked, spool
        self._contract = system.stages.contract()
        self.candidates: list[Candidate] = []

    def add(self, examined: Examined) -> None:
        """Keep the usable photos of a person."""
        photos = tuple(
            Kept(
                each.file,
                Encoding.of(self._contract, each.template.encoding),
                each.template.accepted_spoof,
                tuple(map(self._spool.put, each.signatures)),
            )
            for each in examined.usable
        )
        if photos:
            self.candidates.append(Candidate(examined.entry, photos))

    def judged(self) -> Iterator[tuple[Candidate, Judged]]:
        """Every candidate, judged beside all others of the run; nothing is written."""
        with self._system.store.snapshot():
            verdicts = self.judge(self.candidates)
        yield from zip(self.candidates, verdicts, strict=True)

    def judge(self, some: Sequence[Candidate]) -> list[Judged]:
        """Whether each may be enrolled, beside those in the store and beside the others."""
        store, calibration = self._system.store, self._system.calibration
        known = {each.entry.name.key: store.person(each.entry.name).exists for each in some}
        newcomers = [
            Newcomer(each.entry.name.text, [[photo.encoding for photo in each.photos]])
            for each in some
            if not known[each.entry.name.key]
        ]
        taken = dict[str, Conflict]()
        if not self._asked.allow_duplicate:
            enrolled = Gallery.of(store.encodings(self._contract), calibration.space)
            for name, (reason,) in taken_faces(newcomers, enrolled, calibration):
                taken[name] = Conflict(Reason(reason.code, reason.message, ADVICE))
        return [
            self._known(each) if known[each.entry.name.key] else Judged(taken.get(_name(each)))
            for each in some
        ]

    def _known(self, candidate: Candidate) -> Judged:
        """Somebody whose name is enrolled: the photos must fit, and add something."""
        person = self._system.store.person(candidate.entry.name)
        stored, new = read_signatures(person.signatures()), list[Enrolment]()
        known = set[str]()
        for kept in candidate.photos:
            photo = self._enrolment(kept)
            replay = photo.look.replay(photo.signatures, stored)
            if replay.verdict is ReplayVerdict.ENROLLED_PICTURE:
                known.add(kept.file)
            else:
                new.append(photo)
        try:
            if new:
                admission(self._system, person, new, self._asked)
        except Conflict as refusal:
            return Judged(refusal, frozenset(known))
        return Judged(None, frozenset(known))

    def _enrolment(self, photo: Kept) -> Enrolment:
        look = Look(self._system.stages, photo.file)
        signatures = [
            CaptureSignature.from_bytes(self._spool.take(each)) for each in photo.signatures
        ]
        return Enrolment(look, photo.encoding, signatures)

    def write(self, some: Sequence[Candidate]) -> Iterator[tuple[Candidate, Judged]]:
        """Enrol those who may be, as the store is now; everything of a chunk, or nothing."""
        store = self._system.store
        for start in range(0, len(some), CHUNK):
            chunk = some[start : start + CHUNK]
            with store.judged(partial(self.judge, chunk)) as (change, verdicts):
                for candidate, judged in zip(chunk, verdicts, strict=True):
                    self._enter(change, candidate, judged)
            yield from zip(chunk, verdicts, strict=True)

    def _enter(self, change: Change, candidate: Candidate, judged: Judged) -> None:
        if judged.refusal:
            change.log("enrol", judged.refusal.verdict, codes(judged.refusal))
            return
        new = [photo for photo in candidate.photos if photo.file not in judged.known]
        if not new:
            return
        person, entry = self._system.store.person(candidate.entry.name), candidate.entry
        consent = entry.consent or self._asked.consent
        person.add(change, self._contract, [self._template(photo) for photo in new], consent)
        change.log("enrol", "registered", uid=person.uid)

    def _template(self, photo: Kept) -> Template:
        kept = self._asked.keep_signatures
        signature = self._spool.take(photo.signatures[0]) if kept else None
        return Template(photo.encoding.as_bytes(), signature, photo.accepted_spoof)


def _name(candidate: Candidate) -> str:
    return candidate.entry.name.text


def log_refused(store: Store, refused: Sequence[FacauthError]) -> None:
    """One event for each refusal, except for wrong calls."""
    worthy = [refusal for refusal in refused if worth_an_event(refusal)]
    if worthy:
        with store.transaction() as change:
            for refusal in worthy:
                change.log("enrol", refusal.verdict, codes(refusal))
