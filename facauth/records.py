"""The frozen values that the store takes and gives; each is checked once, when it is made."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from facauth.errors import Reason, UsageProblem
from facauth.names import cleaned, folded, without_joiners

if TYPE_CHECKING:
    from pathlib import Path

MAX_NAME_CHARACTERS = 128
MAX_CONSENT_CHARACTERS = 1000  # of the text, and of the purpose


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name as it is shown (`text`) and as it is compared (`key`), see names.py."""

    text: str
    key: str

    @classmethod
    def parse(cls, raw: str) -> PersonName:
        """`raw`, cleaned; raises UsageProblem unless that is printable, 1-128 characters."""
        text = cleaned(raw)
        printable = without_joiners(text).isprintable()
        if not 1 <= len(text) <= MAX_NAME_CHARACTERS or not printable:
            raise UsageProblem(
                Reason(
                    "name.invalid",
                    "the name cannot be used",
                    f"give 1 to {MAX_NAME_CHARACTERS} printable characters",
                )
            )
        return cls(text, folded(text))


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to, in the operator's words."""

    text: str
    purpose: str | None

    @classmethod
    def parse(cls, text: str | None, purpose: str | None) -> Self | None:
        """The consent as typed; None without a text. Raises UsageProblem for an unusable text."""
        if text is not None:
            return cls(_words(text), None if purpose is None else _words(purpose))
        if purpose is not None:
            reason = Reason("usage", "--purpose is given without --consent", "give both")
            raise UsageProblem(reason)
        return None


def _words(raw: str) -> str:
    text = unicodedata.normalize("NFC", raw.strip())
    if not 1 <= len(text) <= MAX_CONSENT_CHARACTERS or not text.isprintable():
        advice = f"give 1 to {MAX_CONSENT_CHARACTERS:,} printable characters"
        raise UsageProblem(Reason("consent.invalid", "the consent cannot be stored", advice))
    return text


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One person as `list` shows it; times are UTC, ISO 8601."""

    name: str
    photos: int
    enrolled_at: str
    last_sign_in_at: str | None
    needs_new_photo: int  # templates of another contract than the one asked for
    without_signature: int  # templates without a replay signature
    accepted_spoof: int  # templates enrolled without a liveness check, or in doubt
    consent: str | None
    purpose: str | None
    consent_at: str | None
    last_photo_at: str | None
    learned: int  # templates that sign-ins added

    @property
    def last_used_at(self) -> str:
        """The last sign-in, or the last new photo."""
        return max(self.enrolled_at, self.last_photo_at or "", self.last_sign_in_at or "")

    @property
    def outdated(self) -> bool:
        """Whether no photo can be compared, so that the person cannot sign in."""
        return self.needs_new_photo == self.photos


@dataclass(frozen=True, slots=True)
class PersonRecord(PersonRow):
    """One person as `show` shows it."""

    failures: int  # failed sign-ins in a row
    locked_out: bool
    retry_after_s: float | None  # None: not locked out, or until an operator unlocks

    @classmethod
    def of(
        cls, row: PersonRow, failures: int, *, locked_out: bool, retry_after_s: float | None
    ) -> Self:
        """A row, with the failed sign-ins."""
        known = {field.name: getattr(row, field.name) for field in fields(PersonRow)}
        return cls(**known, failures=failures, locked_out=locked_out, retry_after_s=retry_after_s)


@dataclass(frozen=True, slots=True)
class Locked:
    """Sign-ins that wait after too many failures."""

    person: str | None  # as enrolled; None: sign-ins that name nobody
    failures: int  # in a row
    retry_after_s: float | None  # None: until an operator unlocks


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The result of unlock."""

    person: str | None  # as enrolled; None: sign-ins that name nobody
    failures: int | None  # that were forgotten; None: an impossible number


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of restore."""

    enrolled: int  # people
    replaced: Path | None  # the earlier store, kept beside the new one


@dataclass(frozen=True, slots=True)
class Broken:
    """The first broken entry of a log, and its fault."""

    id: int
    what: str


@dataclass(frozen=True, slots=True)
class LogState:
    """The result of verifying a log."""

    entries: int  # ever written, pruned ones included
    head: str | None  # hash of the last one; None: there is none, or the log is broken
    broken: Broken | None
    sealed: bool  # with the store's key; nobody can forge the log without it
