"""The file of an export, facauth-export/1: JSON, in the clear or sealed with a passphrase.

In the clear:  {"format": "facauth-export/1", "people": [PERSON, ...]}
sealed:        {"format": "facauth-export/1", "kdf": {"name": "scrypt", "n", "r", "p", "salt"},
                "sealed": SEALED}
PERSON:        {"name", "enrolled_at", "consent", "purpose", "consent_at", "templates": [TEMPLATE]}
TEMPLATE:      {"contract", "enrolled_at", "accepted_spoof", "encoding", "signature"}
               and "learned": true, if a sign-in added it

Every field is required, and no other is allowed. Times are UTC, ISO 8601, in whole seconds
("...+00:00"). `salt`, `encoding` (256 float32, little-endian, unit length) and `signature`
(spoof.signature, or null) are base64. SEALED is base64 of a nonce (12 bytes) and of the file in
the clear, in AES-256-GCM, with `["facauth-seal/1","export","facauth-export/1"]` as associated data
and a key of 32 bytes that scrypt derives from the passphrase (NFC, UTF-8).
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NoReturn, Self

from facauth.decision.enrolment import Newcomer
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.records import MAX_CONSENT_CHARACTERS, Consent, PersonName, PersonRow
from facauth.spoof.signature import CaptureSignature
from facauth.store.arrivals import Arrival
from facauth.store.keys import (
    SALT_BYTES,
    SCRYPT_N,
    SCRYPT_P,
    SCRYPT_R,
    KeyAccess,
    KeyKind,
    Lock,
    create,
)
from facauth.store.sealing import Template
from facauth.store.vault import SealBroken, seal, unseal
from facauth.structs import Encoding

Ask = Callable[[str], str | None]  # prompt -> passphrase
Kdf = dict[str, object]

FAMILY = "facauth-export/"
FORMAT = f"{FAMILY}1"
BOUND = ("export", FORMAT)
MAX_BYTES = 512 * 2**20  # 3,700 photos with signatures, sealed; read with five times the memory
MAX_PARTS = 4_000_000  # of all lists and objects together: they take memory, not their text
MAX_DIGITS = 9  # the only numbers are those of scrypt
MAX_CONTRACT_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Photo:
    """The stored data of one enrolment photo, and its time."""

    contract: str
    enrolled_at: str
    template: Template

    def encoding(self) -> Encoding:
        """The encoding; raises ValueError if it is invalid."""
        return Encoding.of(self.contract, self.template.encoding)


@dataclass(frozen=True, slots=True)
class PersonCopy:
    """The stored data of one person; times are as stored."""

    name: PersonName
    enrolled_at: str
    consent: Consent | None
    consent_at: str | None
    photos: tuple[Photo, ...]

    @classmethod
    def of(cls, row: PersonRow, templates: Sequence[tuple[str, str, Template]]) -> Self:
        """A person of a store; the templates with their contracts and times of enrolment."""
        consent = Consent(row.consent, row.purpose) if row.consent is not None else None
        photos = tuple(Photo(*template) for template in templates)
        return cls(PersonName.parse(row.name), row.enrolled_at, consent, row.consent_at, photos)

    def newcomer(self, contract: str) -> Newcomer:
        """For comparison: the photos of this contract, grouped by the call of register."""
        photos = [photo for photo in self.photos if photo.contract == contract]
        calls = groupby(photos, lambda photo: photo.enrolled_at)
        return Newcomer(self.name.text, [[photo.encoding() for photo in call] for _, call in calls])

    def arrival(self) -> Arrival:
        """For writing into a store."""
        photos = [(photo.contract, photo.enrolled_at, photo.template) for photo in self.photos]
        return Arrival(self.name, self.enrolled_at, self.consent, self.consent_at, photos)


class Unsound(Exception):
    """The fault of a file, and its place; never the content there."""


# --- writing -------------------------------------------------------------------------------------


def write(people: Sequence[PersonCopy], lock: tuple[Kdf, bytes] | None) -> str:
    """The text of the file, for `read`; not encrypted without a lock, see `new_lock`.

    Raises Unsound for people that `read` would refuse, UsageProblem for too many.
    """
    text = json.dumps({"format": FORMAT, "people": list(map(_as_json, people))}, indent=1)
    _people(_document(text.encode(), "the export"))
    if lock is not None:
        kdf, key = lock
        sealed = _base64(seal(key, text.encode(), BOUND))
        text = json.dumps({"format": FORMAT, "kdf": kdf, "sealed": sealed}, indent=1)
    if len(text) > MAX_BYTES:
        message = f"the export has over {MAX_BYTES >> 20} MB"
        advice = "export people one by one, or use facauth backup"
        raise UsageProblem(Reason("export.too_large", message, advice))
    return text


def _as_json(person: PersonCopy) -> dict[str, object]:
    return {
        "name": person.name.text,
        "enrolled_at": person.enrolled_at,
        "consent": person.consent.text if person.consent else None,
        "purpose": person.consent.purpose if person.consent else None,
        "consent_at": person.consent_at,
        "templates": [
            {
                "contract": photo.contract,
                "enrolled_at": photo.enrolled_at,
                "accepted_spoof": photo.template.accepted_spoof,
                "encoding": _base64(photo.template.encoding),
                "signature": _base64(signature) if signature is not None else None,
                **({"learned": True} if photo.template.learned else {}),
            }
            for photo in person.photos
            for signature in [photo.template.signature]
        ],
    }


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def new_lock(ask: Ask) -> tuple[Kdf, bytes]:
    """`kdf` of the file, and the key, from a passphrase that is asked for twice.

    Raises UsageProblem for an unusable passphrase.
    """
    key, salt = create(KeyKind.PASSPHRASE, "", 0, KeyAccess(ask=ask))
    assert salt is not None  # noqa: S101
    return _kdf(SCRYPT_N[salt[0]], salt[1:]), key


def _kdf(n: int, salt: bytes) -> Kdf:
    return {"name": "scrypt", "n": n, "r": SCRYPT_R, "p": SCRYPT_P, "salt": _base64(salt)}


# --- reading -------------------------------------------------------------------------------------


def read(content: bytes, source: str, ask: Ask) -> list[PersonCopy]:
    """The people of a file; asks for the passphrase if the file is encrypted.

    source only names the file in messages. Raises SetupProblem unless the whole file is sound.
    """
    try:
        document = _document(content, source)
        if "sealed" in document:
            document = _document(_unsealed(document, source, ask), source)
        return _people(document)
    except Unsound as fault:
        message = f"{shown(source)} is not a sound export: {fault}"
        advice = "nothing was imported; export it again"
        raise SetupProblem(Reason("import.unsound", message, advice)) from None


def _document(content: bytes, source: str) -> dict[str, Any]:
    """The JSON object in these bytes; size and number of parts are checked before parsing."""
    if len(content) > MAX_BYTES or sum(map(content.count, (b"[", b"{", b","))) > MAX_PARTS:
        raise Unsound("it is too large")
    try:
        found = json.loads(
            content.decode(),
            parse_int=_whole_number,
            parse_float=_no_number,
            parse_constant=_no_number,  # NaN, Infinity
            object_pairs_hook=_distinct,
        )
    except (ValueError, RecursionError):
        raise Unsound("it is not JSON") from None
    stated = found.get("format") if isinstance(found, dict) else None
    if isinstance(stated, str) and stated.startswith(FAMILY) and stated != FORMAT:
        raise _newer(source)
    if not isinstance(found, dict) or stated != FORMAT:
        raise Unsound(f"its format is not {FORMAT}")
    return found


def _whole_number(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else _no_number(digits)


def _no_number(_: str) -> NoReturn:
    raise Unsound("it has an impossible number")


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unsound("it has a field twice")
    return found


def _newer(source: str) -> SetupProblem:
    message = f"{shown(source)} was exported by a newer facauth"
    return SetupProblem(Reason("import.newer", message, "update facauth"))


def _unsealed(document: dict[str, Any], source: str, ask: Ask) -> bytes:
    """The decrypted file. Only known scrypt parameters are accepted: others may cost too much."""
    _, kdf, sealed = _fields(document, "it", "format", "kdf", "sealed")
    *_, salt = _fields(kdf, "kdf", "name", "n", "r", "p", "salt")
    blob, raw = _bytes(sealed, "sealed"), _bytes(salt, "kdf.salt")
    if len(raw) != SALT_BYTES:
        raise Unsound(f"kdf.salt is not {SALT_BYTES} bytes")
    ours = [number for number, n in SCRYPT_N.items() if kdf == _kdf(n, raw)]
    if not ours:
        raise _newer(source)
    lock = Lock("", KeyKind.PASSPHRASE, 0, bytes(ours[:1]) + raw, b"")
    try:
        return unseal(KeyAccess(ask=ask).kek(lock), blob, BOUND)
    except SealBroken:
        message = f"{shown(source)} is not opened by this passphrase, or was altered"
        advice = "enter the passphrase of the export"
        raise SetupProblem(Reason("import.not_opened", message, advice)) from None


def _people(document: dict[str, Any]) -> list[PersonCopy]:
    _, people = _fields(document, "it", "format", "people")
    found = [_person(value, f"people[{i}]") for i, value in enumerate(_list(people, "people"))]
    if not found:
        raise Unsound("it holds no people")
    if len({person.name.key for person in found}) < len(found):
        raise Unsound("a name occurs twice")
    return found


def _person(value: object, where: str) -> PersonCopy:
    fields = "name", "enrolled_at", "consent", "purpose", "consent_at", "templates"
    name, enrolled_at, *consent, templates = _fields(value, where, *fields)
    photos = enumerate(_list(templates, f"{where}.templates"))
    return PersonCopy(
        _name(name, f"{where}.name"),
        _time(enrolled_at, f"{where}.enrolled_at"),
        *_consent(consent, where),
        tuple(_photo(value, f"{where}.templates[{i}]") for i, value in photos),
    )


def _consent(values: list[object], where: str) -> tuple[Consent | None, str | None]:
    """Consent and its time; none of it without the text."""
    text, purpose, at = values
    if text is purpose is at is None:
        return None, None
    agreed = _text(text, f"{where}.consent", MAX_CONSENT_CHARACTERS)
    why = None if purpose is None else _text(purpose, f"{where}.purpose", MAX_CONSENT_CHARACTERS)
    return Consent(agreed, why), _time(at, f"{where}.consent_at")


def _photo(value: object, where: str) -> Photo:
    fields = "contract", "enrolled_at", "accepted_spoof", "encoding", "signature"
    learned = isinstance(value, dict) and value.pop("learned", False)
    contract, enrolled_at, accepted_spoof, encoding, signature = _fields(value, where, *fields)
    if not isinstance(accepted_spoof, bool):
        raise Unsound(f"{where}.accepted_spoof is neither true nor false")
    if not isinstance(learned, bool):
        raise Unsound(f"{where}.learned is neither true nor false")
    kept = None if signature is None else _bytes(signature, f"{where}.signature")
    photo = Photo(
        _text(contract, f"{where}.contract", MAX_CONTRACT_CHARACTERS),
        _time(enrolled_at, f"{where}.enrolled_at"),
        Template(_bytes(encoding, f"{where}.encoding"), kept, accepted_spoof, learned),
    )
    try:
        photo.encoding()
    except ValueError:
        raise Unsound(f"{where}.encoding is not 256 numbers of unit length") from None
    try:
        if kept is not None:
            CaptureSignature.from_bytes(kept)
    except ValueError:
        raise Unsound(f"{where}.signature is not one of this version") from None
    return photo


def _fields(value: object, where: str, *names: str) -> list[object]:
    """The values of an object with exactly these fields."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise Unsound(f"{where} is not an object of {', '.join(names)}")
    return [value[name] for name in names]


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise Unsound(f"{where} is not a list")
    return value


def _name(value: object, where: str) -> PersonName:
    try:
        return PersonName.parse(value if isinstance(value, str) else "")
    except UsageProblem:
        raise Unsound(f"{where} cannot be a name") from None


def _text(value: object, where: str, max_characters: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= max_characters:
        raise Unsound(f"{where} is not a text of 1 to {max_characters} characters")
    if not value.isprintable():
        raise Unsound(f"{where} has characters that cannot be printed")
    return value


def _time(value: object, where: str) -> str:
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            if at.tzinfo and at.astimezone(UTC).isoformat(timespec="seconds") == value:
                return value
    except (ValueError, OverflowError):
        pass
    raise Unsound(f"{where} is not a time in UTC, as 2026-01-31T12:00:00+00:00")


def _bytes(value: object, where: str) -> bytes:
    try:
        data = a2b_base64(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if not data or _base64(data) != value:  # the decoder is lenient
        raise Unsound(f"{where} is not base64")
    return data
