"""What a database must offer to be the engine of a store: named operations, and no rules.

An engine reads and writes rows as they are. What they mean, who may be enrolled, what is sealed,
when something expires: all that is decided above it, and holds with every engine. Whatever goes
wrong in an engine is raised as SetupProblem.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.store.sealing import SealedPerson, Template
    from facauth.structs import PersonRow

Row = tuple[Any, ...]
Mark = tuple[int, bytes, bytes | None]  # entries, hash of the last of them, anchor of both
End = Literal["head", "start"]  # where the log ends, and where it starts after pruning


class Engine(Protocol):
    """An open store as it can be read. Another process may write between any two calls."""

    @property
    def path(self) -> Path:
        """Where the store is: what messages call it."""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""

    def close(self) -> None:
        """Leave the store."""

    def trial(self) -> Self:
        """A copy in memory, of which nothing is written back."""

    def faults(self) -> list[str]:
        """What the engine's own checks find; empty when sound."""

    def exposure(self) -> list[str]:
        """A line for each way in which others could read or replace the store."""

    def transaction(self, *, wait: bool = True) -> AbstractContextManager[Writer]:
        """All or nothing, and alone: other writers wait, and read what was written.

        wait: for other processes; without it a store in use is refused at once.
        Raises SetupProblem as `require_unchanged` does.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read within is of one moment, whatever others write."""

    def require_unchanged(self) -> None:
        """Raises SetupProblem if the store was migrated, or got another lock, since it was opened.

        What this process itself committed does not count.
        """

    def scrub(self) -> None:
        """After a commit: nothing that was deleted can be found in the engine's files."""

    # --- the lock --------------------------------------------------------------------------------

    def lock(self) -> Row | None:
        """Store id, kind, generation, salt and wrapped master; None if it is not encrypted."""

    # --- people ----------------------------------------------------------------------------------

    def people(self, contract: str | None) -> list[PersonRow]:
        """Everybody, by name key. Templates of another contract need a new photo."""

    def person(self, name_key: str) -> SealedPerson | None:
        """Who has this name key."""

    def everybody(self) -> list[SealedPerson]:
        """All people, as far as they are sealed."""

    def is_enrolled(self, uid: str) -> bool:
        """Whether there is a person with this id."""

    def state(self) -> object:
        """Equal as long as no person and no template was changed."""

    # --- templates -------------------------------------------------------------------------------

    def encodings(self, people: Sequence[int] | None) -> list[Row]:
        """Of each template of these people, or (None) of all, by person and template id:

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

    # --- what a large store is searched by -------------------------------------------------------

    def has_people(self, contract: str, count: int) -> bool:
        """Whether at least so many people have templates of this contract."""

    def person_ids(self, contract: str) -> range:
        """From the lowest to the highest id of people with templates of this contract."""

    def template_counts(self, contract: str, people: range) -> NDArray[np.intp]:
        """(people,): how many templates of this contract each of these ids has."""

    def block_ids(self, contract: str) -> dict[int, int]:
        """The id of each block, by its number."""

    def block(self, identifier: int) -> bytes:
        """The vectors of a block; empty if it is gone."""

    # --- the log ---------------------------------------------------------------------------------

    def events(self, after: int) -> list[Row]:
        """Id, time, command, verdict, reasons, name, error rate, hash; entries with a higher id."""

    def entries(self) -> list[Row]:
        """Id, time, command, verdict, reasons, subject, error rate, hash and anchor of all."""

    def mark(self, end: End) -> Mark | None:
        """What is known of an end of the log; None if nothing was ever written there."""

    def older_than(self, before: str) -> tuple[int, bytes] | None:
        """Id and hash of the last entry before the first that is not older; never of the last."""

    def last_verdict(self, subject: str | None, commands: Sequence[str]) -> str | None:
        """What the newest entry of this subject by one of these commands says."""

    # --- attempts --------------------------------------------------------------------------------

    def tries(self, subject: str) -> Row | None:
        """Round, failures, and both clocks in seconds, whatever was stored as these."""


class Writer(Engine, Protocol):
    """A store within a transaction; only there it can be written."""

    def put_lock(self, lock: Row) -> None:
        """Replace the lock, as `lock` returns it."""

    def add_person(
        self, uid: str, name: str, name_key: str, wrapped_key: bytes | None, enrolled_at: str
    ) -> int:
        """A new person; the id, which nobody ever had. Ids grow."""

    def set_name(self, person: int, name: str, name_key: str) -> None:
        """Another name for a person."""

    def set_consent(self, person: int, text: str, purpose: str | None, at: str | None) -> None:
        """What a person agreed to, and when."""

    def set_key(self, person: int, wrapped_key: bytes | None) -> None:
        """The key of a person."""

    def set_last_sign_in(self, uid: str, at: str) -> None:
        """When a person signed in."""

    def delete_person(self, person: int) -> None:
        """A person without templates."""

    def add_template(self, person: int, contract: str, template: Template, at: str) -> None:
        """One more template, sealed."""

    def replace_template(self, number: int, template: Template) -> None:
        """The same template, sealed anew."""

    def delete_templates(self, person: int, numbers: Sequence[int] | None = None) -> None:
        """Those of a person with these ids, or (None) all."""

    def put_block(self, identifier: int, number: int, contract: str, vectors: bytes) -> None:
        """A block, unless there is one with this number and contract."""

    def delete_blocks(self, number: int) -> None:
        """The blocks with this number, of every contract."""

    def append(self, entries: Sequence[Row]) -> None:
        """Entries of the log, as `entries` returns them."""

    def put_mark(self, end: End, mark: Mark) -> None:
        """Another end of the log."""

    def set_anchor(self, entry: int, anchor: bytes | None) -> None:
        """The anchor of an entry."""

    def delete_entries(self, upto: int) -> None:
        """The oldest entries, up to this id."""

    def put_tries(self, subject: str, tries: Row) -> None:
        """The row of a subject, as `tries` returns it."""

    def delete_tries(self, subject: str) -> None:
        """Forget a subject."""

    def discard_copies(self) -> None:
        """Delete the copies that facauth itself made beside the store."""
