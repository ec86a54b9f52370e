"""The interface of a database as the engine of a store: named operations, without rules.

An engine reads and writes rows as they are. Enrolment, sealing and expiry are decided above it, and
are the same with every engine. An engine raises each of its errors as SetupProblem.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.places import Place
    from facauth.records import PersonRow
    from facauth.store.clock import Clock
    from facauth.store.sealing import SealedPerson, Template

Row = tuple[Any, ...]
Mark = tuple[int, bytes, bytes | None]  # entries, hash of the last of them, anchor of both
End = Literal["head", "start"]  # where the log ends, and where it starts after pruning


class Engine(Protocol):
    """An open store for reading. Another process may write between any two calls."""

    @property
    def place(self) -> Place:
        """Where the store is, as messages name it."""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""

    def close(self) -> None:
        """Close the store."""

    def trial(self) -> Engine:
        """A copy in memory, which is never written back."""

    def faults(self) -> list[str]:
        """What the engine's own checks find; empty when sound."""

    @property
    def clock(self) -> Clock:
        """The clock that the store goes by, unless its user sets another."""

    @property
    def keeps_deleted(self) -> bool:
        """Whether deleted rows stay in files of the engine; such a store is always encrypted."""

    def exposure(self) -> list[str]:
        """A line for each way in which other users could read or replace the store."""

    def transaction(self, *, wait: bool = True) -> AbstractContextManager[Writer]:
        """A transaction: all or nothing, and one at a time; other writers wait.

        wait: wait for other processes; without it a busy store is refused at once.
        Raises SetupProblem as `require_unchanged` does.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """A snapshot: reads within see one state, whatever others write."""

    def require_unchanged(self) -> None:
        """Raises SetupProblem if another process migrated the store or changed its lock."""

    def scrub(self) -> None:
        """After a commit: remove deleted data from the engine's files."""

    # --- the lock --------------------------------------------------------------------------------

    def lock(self) -> Row | None:
        """Store id, kind, generation, salt and wrapped master; None if it is not encrypted."""

    # --- people ----------------------------------------------------------------------------------

    def people(self, contract: str | None) -> list[PersonRow]:
        """Everybody, by name key. Templates of another contract need a new photo."""

    def person(self, name_key: str) -> SealedPerson | None:
        """The person with this name key."""

    def everybody(self) -> list[SealedPerson]:
        """The sealed fields of all people."""

    def first_enrolled_at(self) -> str | None:
        """The earliest time of enrolment of a person; None if nobody is enrolled."""

    def is_enrolled(self, uid: str) -> bool:
        """Whether there is a person with this id."""

    def state(self) -> object:
        """A value that changes with every change of a person or a template."""

    # --- templates -------------------------------------------------------------------------------

    def encodings(self, people: Sequence[int] | None) -> list[Row]:
        """The rows of templates of these people, None: of all, by person and template id:

        id, uid, name, wrapped key and name key of the person; encoding, contract, accepted spoof,
        whether it is signed, learned, and time of enrolment. A range of ids can be large, any other
        sequence is short.
        """

    def templates(self, person: int) -> list[tuple[int, str, str, Template]]:
        """Id, contract, time of enrolment and sealed template of each, as they were added."""

    def sealed_encodings(self, person: int) -> list[bytes]:
        """The encodings alone, as they were added."""

    def unsigned(self, person: int) -> int:
        """How many templates have no signature."""

    def learned(self) -> list[tuple[str, int, str]]:
        """Name of the person, id, time of enrolment of learned templates, a person's together."""

    # --- the search blocks of a large store ------------------------------------------------------

    def has_people(self, contract: str, count: int) -> bool:
        """Whether at least `count` people have templates of this contract."""

    def person_ids(self, contract: str) -> range:
        """From the lowest to the highest id of people with templates of this contract."""

    def template_counts(self, contract: str, people: range) -> NDArray[np.intp]:
        """(people,): how many templates of this contract each of these ids has."""

    def block_ids(self, contract: str) -> dict[int, int]:
        """The id of each block, by its number."""

    def block(self, identifier: int) -> bytes:
        """The vectors of a block; empty if the block was deleted."""

    # --- the log ---------------------------------------------------------------------------------

    def events(self, after: int) -> list[Row]:
        """Id, time, command, verdict, reasons, name, error rate, hash; entries with a higher id."""

    def entries(self) -> list[Row]:
        """Id, time, command, verdict, reasons, subject, error rate, hash, anchor of all entries."""

    def mark(self, end: End) -> Mark | None:
        """An end of the log; None if it was never written."""

    def older_than(self, before: str) -> tuple[int, bytes] | None:
        """Id and hash of the last entry before the first that is not older; never of the last."""

    def last_verdict(self, subject: str | None, commands: Sequence[str]) -> str | None:
        """The verdict of the newest entry of this subject and one of these commands."""

    # --- attempts --------------------------------------------------------------------------------

    def tries(self, subject: str) -> Row | None:
        """Round, failures, and both clocks in seconds, as stored, of any type."""


class Writer(Engine, Protocol):
    """A store within a transaction, which alone can write."""

    def put_lock(self, lock: Row) -> None:
        """Replace the lock, as `lock` returns it."""

    def add_person(
        self, uid: str, name: str, name_key: str, wrapped_key: bytes | None, enrolled_at: str
    ) -> int:
        """Add a person; returns the id. Ids grow and are never used again."""

    def set_name(self, person: int, name: str, name_key: str) -> None:
        """Set the name of a person."""

    def set_consent(self, person: int, text: str, purpose: str | None, at: str | None) -> None:
        """Set the consent of a person, with its time."""

    def set_key(self, person: int, wrapped_key: bytes | None) -> None:
        """Set the key of a person."""

    def set_last_sign_in(self, uid: str, at: str) -> None:
        """Set the time of a person's last sign-in."""

    def delete_person(self, person: int) -> None:
        """Delete a person without templates."""

    def add_template(self, person: int, contract: str, template: Template, at: str) -> None:
        """Add a sealed template."""

    def replace_template(self, number: int, template: Template) -> None:
        """Replace the sealed data of a template."""

    def delete_templates(self, person: int, numbers: Sequence[int] | None = None) -> None:
        """Delete the templates of a person with these ids; None: all."""

    def put_block(self, identifier: int, number: int, contract: str, vectors: bytes) -> None:
        """Add a block, unless there is one with this number and contract."""

    def delete_blocks(self, number: int) -> None:
        """Delete the blocks with this number, of every contract."""

    def append(self, entries: Sequence[Row]) -> None:
        """Append entries of the log, as `entries` returns them."""

    def put_mark(self, end: End, mark: Mark) -> None:
        """Set an end of the log."""

    def set_anchor(self, entry: int, anchor: bytes | None) -> None:
        """Set the anchor of an entry."""

    def delete_entries(self, upto: int) -> None:
        """Delete the oldest entries, up to this id."""

    def put_tries(self, subject: str, tries: Row) -> None:
        """Set the row of a subject, as `tries` returns it."""

    def delete_tries(self, subject: str) -> None:
        """Delete the row of a subject."""

    def put_challenge(self, challenge: Row) -> None:
        """Add a challenge: mark, mark with the name, prompts, tries, both clocks."""

    def take_challenge(self, mark: bytes) -> Row | None:
        """Delete the challenge with this mark, and return its other fields."""

    def trim_challenges(self, before_s: float, keep: int) -> None:
        """Delete challenges drawn before this time of day, and all but the newest `keep`."""

    def discard_copies(self) -> None:
        """Delete the copies that facauth made beside the store."""
