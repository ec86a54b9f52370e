"""Export and import: what goes out comes in again, and nothing else comes in."""

from __future__ import annotations

import json
import random
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import PLAIN
from raw import database

from facauth.admin import export, import_
from facauth.decision.calibration import Calibration
from facauth.errors import Conflict, ExitCode, FacauthError, SetupProblem, UsageProblem
from facauth.networks import Checked, Networks
from facauth.records import Consent, PersonName
from facauth.spoof.signature import CaptureSignature, Part
from facauth.store.keys import SCRYPT_N, KeyAccess, KeyKind
from facauth.store.rekey import encrypt
from facauth.store.sealing import Template
from facauth.store.sqlite.database import Database
from facauth.store.store import Store
from facauth.store.vault import seal
from facauth.system import System, bind
from facauth.transfer import document
from facauth.transfer.document import PersonCopy, Photo, Unsound, new_lock, read, write

CALIBRATION = PLAIN.calibration


def take_in(
    store: Store,
    people: Sequence[PersonCopy],
    contract: str,
    calibration: Calibration,
    *,
    allow_duplicate: bool = False,
) -> None:
    """An import into a store whose networks make encodings of this contract."""
    stages = replace(bind(Networks(Checked(None))), contract=lambda: contract)
    import_(System(stages, store, calibration), people, allow_duplicate=allow_duplicate)


CONTRACT, OLDER = "test/2", "test/1"
PASSPHRASE = "correct horse battery staple"
AT, LATER = "2026-01-31T12:00:00+00:00", "2026-02-28T23:59:59+00:00"
INPUTS = 6000  # of the fuzz test, in all


@pytest.fixture(autouse=True, scope="module")
def _cheap() -> Iterator[None]:
    """A passphrase costs next to nothing here; what it costs is tested through the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCRYPT_N, 1, 16)
        yield


def known(prompt: str) -> str:
    """Whoever has the passphrase."""
    return PASSPHRASE


def nobody(prompt: str) -> NoReturn:
    raise AssertionError("nobody should have been asked")


def vector(seed: int, photo: int = 0) -> bytes:
    """A face: photos of one seed resemble each other, those of two do not."""
    face, other = (np.random.default_rng([seed, n]).normal(size=256) for n in (0, photo))
    mixed = face / np.linalg.norm(face) + 0.2 * other / np.linalg.norm(other)
    return bytes((mixed / np.linalg.norm(mixed)).astype("<f4").tobytes())


def signature(seed: int) -> bytes:
    random_bytes = np.random.default_rng(seed)

    def part() -> Part:
        return Part(
            (0.0, 0.25, 1.0, 0.5),
            (256, 128),
            random_bytes.integers(0, 65535, (3, 2)).astype(np.uint16),
            random_bytes.integers(0, 255, (3, 128)).astype(np.uint8),
            random_bytes.integers(0, 255, (4, 5)).astype(np.uint8),
            0.5,
        )

    return CaptureSignature(part(), part()).to_bytes()


def photo(seed: int, number: int = 0, contract: str = CONTRACT, at: str = AT) -> Photo:
    kept = Template(vector(seed, number), signature(seed), accepted_spoof=False)
    return Photo(contract, at, kept)


def person(name: str, seed: int, photos: int = 2) -> PersonCopy:
    pictures = tuple(photo(seed, number) for number in range(photos))
    return PersonCopy(PersonName.parse(name), AT, None, None, pictures)


ADA, BOB = person("Ada", 1), person("Bob", 2)


# --- there and back ------------------------------------------------------------------------------

PRINTABLE = st.characters(exclude_categories=("C", "Z"))
TIMES = st.datetimes(timezones=st.none()).map(
    lambda at: at.replace(microsecond=0).isoformat() + "+00:00"
)
TEXTS = st.text(PRINTABLE | st.just(" "), min_size=1, max_size=40)


@st.composite
def photos_of(draw: st.DrawFn, seed: int) -> Photo:
    kept = Template(
        vector(seed, draw(st.integers(0, 9))),
        draw(st.none() | st.integers(0, 9).map(signature)),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    return Photo(draw(st.sampled_from((CONTRACT, OLDER))), draw(TIMES), kept)


@st.composite
def populations(draw: st.DrawFn) -> list[PersonCopy]:
    raw = st.text(PRINTABLE, min_size=1, max_size=20).map(PersonName.parse)
    names = draw(st.lists(raw, min_size=1, max_size=4, unique_by=lambda name: name.key))
    found = []
    for seed, name in enumerate(names):
        consent = draw(st.none() | st.builds(Consent, TEXTS, st.none() | TEXTS))
        photos = draw(st.lists(photos_of(seed), max_size=4))
        since = draw(TIMES) if consent else None
        found.append(PersonCopy(name, draw(TIMES), consent, since, tuple(photos)))
    return found


@pytest.mark.slow
@given(people=populations(), plain=st.booleans())
def test_what_is_written_is_read(people: list[PersonCopy], plain: bool) -> None:
    text = write(people, None if plain else new_lock(known))
    assert text.isascii()
    assert read(text.encode(), "x", nobody if plain else known) == people
    assert (people[0].enrolled_at in text) == plain


def rows(store: Store) -> list[object]:
    """Everything there is of everybody, opened, but for what is made of chance."""
    return [(row, store.person(row.name).templates()) for row in store.people(CONTRACT)]


def store_at(folder: Path, name: str, encrypted: bool) -> Store:
    keys = KeyAccess(key_file=folder / "key") if encrypted else KeyAccess()
    if encrypted:
        encrypt(folder / name, KeyKind.FILE, keys)
    return Store.open(folder / name, keys, create=True)


@pytest.mark.slow
@pytest.mark.parametrize("to_encrypted", [False, True], ids=["to plain", "to encrypted"])
@pytest.mark.parametrize("of_encrypted", [False, True], ids=["of plain", "of encrypted"])
@settings(max_examples=20, deadline=None)
@given(people=populations())
def test_people_go_from_store_to_store(
    tmp_path_factory: pytest.TempPathFactory,
    people: list[PersonCopy],
    of_encrypted: bool,
    to_encrypted: bool,
) -> None:
    folder = tmp_path_factory.mktemp("stores")
    with (
        store_at(folder, "one", of_encrypted) as one,
        store_at(folder, "other", to_encrypted) as other,
    ):
        take_in(one, people, CONTRACT, CALIBRATION)
        copies, text = export(one, None, new_lock(known))
        take_in(other, read(text.encode(), "x", known), CONTRACT, CALIBRATION)
        assert rows(other) == rows(one)
        assert len(rows(one)) == len(people)
        assert sorted(copies, key=by_name) == sorted(people, key=by_name)
        assert [one.verify_log()[1], other.verify_log()[1]] == [None, None]


def by_name(copy: PersonCopy) -> str:
    return copy.name.key


def test_the_rows_of_two_plain_stores_are_equal_byte_for_byte(tmp_path: Path) -> None:
    agreed = replace(ADA, consent=Consent("yes", "the door"), consent_at=LATER)
    stored = []
    with Store.open(tmp_path / "one", create=True) as one:
        take_in(one, [BOB, agreed], CONTRACT, CALIBRATION)
        _, text = export(one, None, None)
        stored.append(raw(one))
    with Store.open(tmp_path / "other", create=True) as other:
        take_in(other, read(text.encode(), "x", nobody), CONTRACT, CALIBRATION)
        stored.append(raw(other))
    assert stored[0] == stored[1]
    assert len(stored[0]) == 4


def raw(store: Store) -> list[tuple[Any, ...]]:
    return database(store).all(
        """SELECT name, name_key, p.enrolled_at, consent, purpose, consent_at, wrapped_key,
            contract, encoding, signature, accepted_spoof, learned, t.enrolled_at
        FROM people p JOIN templates t ON t.person_id = p.id ORDER BY name_key, t.id"""
    )


def test_one_person_is_exported_alone_and_in_any_case(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", create=True) as store:
        take_in(store, [ADA, BOB], CONTRACT, CALIBRATION)
        copies, text = export(store, PersonName.parse("ADA"), None)
        assert copies == [ADA] == read(text.encode(), "x", nobody)
        assert "Bob" not in text


def test_who_leaves_and_who_comes_is_logged(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", create=True) as store:
        take_in(store, [ADA, BOB], CONTRACT, CALIBRATION)
        export(store, PersonName.parse("Bob"), None)
        with pytest.raises(Conflict):
            take_in(store, [ADA], CONTRACT, CALIBRATION)
        logged = [(event.command, event.verdict, event.person) for event in store.events()]
        assert logged == [
            ("import", "imported", "Ada"),
            ("import", "imported", "Bob"),
            ("export", "exported", "Bob"),
            ("import", "conflict", None),
        ]


def test_a_damaged_store_is_not_exported_nor_is_it_logged(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", create=True) as store:
        take_in(store, [ADA], CONTRACT, CALIBRATION)
        database(store).write("UPDATE templates SET encoding = zeroblob(1024) WHERE id = 2")
        with pytest.raises(SetupProblem, match=r"cannot be exported: people\[0\].templates\[1\]"):
            export(store, None, None)
        assert [event.command for event in store.events()] == ["import"]


def test_what_would_be_too_large_to_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", len(write([ADA], None)))
    assert write([ADA], None)
    with pytest.raises(UsageProblem, match="over 0 MB; export people one by one"):
        write([ADA], new_lock(known))
    with pytest.raises(Unsound):
        write([ADA, BOB], None)


# --- the passphrase ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["", "correct horse battery stapl", PASSPHRASE.upper()])
def test_another_passphrase_opens_nothing(wrong: str) -> None:
    text = write([ADA], new_lock(known))
    with pytest.raises(SetupProblem, match="not opened by this passphrase") as refusal:
        read(text.encode(), "x", lambda _: wrong)
    assert refusal.value.reasons[0].code == "import.not_opened"


def test_a_passphrase_is_the_same_however_its_accents_are_typed() -> None:
    text = write([ADA], new_lock(lambda _: "fifteen caf\u00e9s o\u00f9"))
    assert read(text.encode(), "x", lambda _: "fifteen cafe\u0301s ou\u0300") == [ADA]


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(UsageProblem, match="too short; use 15 characters or more"):
        new_lock(lambda _: "correct horse")


def test_two_passphrases_that_differ_are_refused() -> None:
    answers = iter((PASSPHRASE, f"{PASSPHRASE}r"))
    with pytest.raises(UsageProblem, match="the two passphrases differ"):
        new_lock(lambda _: next(answers))


def test_no_two_files_have_the_same_salt_or_sealed_bytes() -> None:
    one, other = (json.loads(write([ADA], new_lock(known))) for _ in range(2))
    assert one["kdf"]["salt"] != other["kdf"]["salt"]
    assert one["sealed"][:16] != other["sealed"][:16]


def sealed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(write([ADA], new_lock(known)))
    return found


def altered(text: str, place: int) -> str:
    """One bit of what is in base64 flipped."""
    data = bytearray(b64decode(text))
    data[place % len(data)] ^= 1
    return b64encode(data).decode()


@given(place=st.integers(0, 100_000))
@settings(max_examples=50)
def test_every_altered_bit_is_found(place: int) -> None:
    file = sealed()
    for holder, field in ((file, "sealed"), (file["kdf"], "salt")):
        before = holder[field]
        holder[field] = altered(before, place)
        with pytest.raises(SetupProblem, match="was altered"):
            read(json.dumps(file).encode(), "x", known)
        holder[field] = before
    assert read(json.dumps(file).encode(), "x", known) == [ADA]


@pytest.mark.parametrize("changed", [{"n": 2**29}, {"r": 2**20}, {"p": 4}, {"name": "argon2id"}])
def test_a_cost_that_is_not_ours_is_never_paid(changed: dict[str, object]) -> None:
    file = sealed()
    file["kdf"].update(changed)
    with pytest.raises(SetupProblem) as refusal:
        read(json.dumps(file).encode(), "x", nobody)
    assert refusal.value.reasons[0].code == "import.newer"


# --- what is no export ---------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]


def hostile(change: Change) -> bytes:
    """The export of two people after a change of its JSON."""
    file = json.loads(write([ADA, BOB], None))
    change(file)
    return json.dumps(file).encode()


def first(file: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = file["people"][0]
    return found


def template(file: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = file["people"][0]["templates"][1]
    return found


def numbers(*values: float) -> str:
    return b64encode(np.array(values, "<f4").tobytes()).decode()


UNIT = [1.0, *[0.0] * 255]
CHANGES: dict[str, tuple[Change, str]] = {
    "nobody": (lambda f: f.update(people=[]), "it holds no people"),
    "no list": (lambda f: f.update(people={}), "people is not a list"),
    "no format": (lambda f: f.pop("format"), "its format is not facauth-export/1"),
    "another format": (lambda f: f.update(format="diary/1"), "its format is not"),
    "format of no text": (lambda f: f.update(format=["facauth-export/1"]), "its format is not"),
    "a further field": (lambda f: f.update(admin=True), "it is not an object of format, people"),
    "a person of no object": (lambda f: f["people"].append("Eve"), "people[2] is not an object"),
    "a further field of a person": (lambda f: first(f).update(uid="1"), "people[0] is not an"),
    "a field left out": (lambda f: template(f).pop("contract"), "templates[1] is not an object"),
    "no name": (lambda f: first(f).update(name=""), "people[0].name cannot be a name"),
    "a name of no text": (lambda f: first(f).update(name=7), "people[0].name cannot be a name"),
    "a long name": (lambda f: first(f).update(name="x" * 129), "name cannot be a name"),
    "a name that rings": (lambda f: first(f).update(name="Ada\x07"), "name cannot be a name"),
    "a name in halves": (lambda f: first(f).update(name="\ud800"), "name cannot be a name"),
    "a name twice": (lambda f: first(f).update(name="BOB"), "a name occurs twice"),
    "no time": (lambda f: first(f).update(enrolled_at=None), "enrolled_at is not a time in UTC"),
    "a local time": (lambda f: first(f).update(enrolled_at=AT[:19]), "enrolled_at is not a time"),
    "another zone": (lambda f: first(f).update(enrolled_at=AT[:19] + "+01:00"), "not a time in"),
    "no such day": (lambda f: first(f).update(enrolled_at="2026-02-30" + AT[10:]), "not a time"),
    "consent without a time": (lambda f: first(f).update(consent="yes"), "consent_at is not"),
    "a purpose without consent": (lambda f: first(f).update(purpose="door"), "consent is not a"),
    "consent with escapes": (
        lambda f: first(f).update(consent="\x1b[2Jyes", consent_at=AT),
        "people[0].consent has characters that cannot be printed",
    ),
    "a purpose with escapes": (
        lambda f: first(f).update(consent="yes", purpose="a\nb", consent_at=AT),
        "people[0].purpose has characters that cannot be printed",
    ),
    "a name from the right": (lambda f: first(f).update(name="Ada\u202e"), "cannot be a name"),
    "consent from the right": (
        lambda f: first(f).update(consent="yes\u202eon", consent_at=AT),
        "consent has characters that cannot be printed",
    ),
    "a consent of a book": (
        lambda f: first(f).update(consent="x" * 1001, consent_at=AT),
        "consent is not a text of 1 to 1000 characters",
    ),
    "a contract of no text": (lambda f: template(f).update(contract=[]), "contract is not a text"),
    "learned is null": (
        lambda f: template(f).update(learned=None),
        "].learned is neither true nor false",
    ),
    "learned as text": (lambda f: template(f).update(learned="true"), "neither true nor false"),
    "a spoof of 1": (lambda f: template(f).update(accepted_spoof=1), "neither true nor false"),
    "no base64": (lambda f: template(f).update(encoding="%"), "encoding is not base64"),
    "spaces": (lambda f: template(f).update(encoding=numbers(*UNIT) + "\n"), "not base64"),
    "loose bits": (lambda f: template(f).update(signature="QR=="), "signature is not base64"),
    "too short": (lambda f: template(f).update(encoding=numbers(1)), "256 numbers of unit length"),
    "odd bytes": (lambda f: template(f).update(encoding="QUJD"), "256 numbers of unit length"),
    "too many": (lambda f: template(f).update(encoding=numbers(*UNIT, 0)), "256 numbers of unit"),
    "not unit": (lambda f: template(f).update(encoding=numbers(*[0.5] * 256)), "of unit length"),
    "NaN": (lambda f: template(f).update(encoding=numbers(*UNIT[1:], np.nan)), "of unit length"),
    "infinite": (lambda f: template(f).update(encoding=numbers(*UNIT[1:], np.inf)), "of unit"),
    "huge": (lambda f: template(f).update(encoding=numbers(*[3e38] * 256)), "of unit length"),
    "no signature": (lambda f: template(f).update(signature="QUJD"), "is not one of this version"),
    "a number": (lambda f: template(f).update(signature=1e999), "it has an impossible number"),
    "a fraction": (lambda f: template(f).update(signature=0.5), "it has an impossible number"),
    "a huge number": (lambda f: template(f).update(signature=10**9), "an impossible number"),
    "sealed in nothing": (lambda f: f.update(sealed="QUJD"), "it is not an object of format, kdf"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_is_not_as_the_format_has_it_is_refused_with_its_place(case: str) -> None:
    change, message = CHANGES[case]
    with pytest.raises(SetupProblem) as refusal:
        read(hostile(change), "x", nobody)
    (reason,) = refusal.value.reasons
    assert reason.code == "import.unsound"
    assert reason.message.startswith("x is not a sound export: ")
    assert message in reason.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"null", "its format is not"),
        (b"[" * 1_000_000, "it is not JSON"),
        (b'{"a":' * 1_000_000, "it is not JSON"),
        (b"[" + b"[]," * 5_000_000 + b"[]]", "it is too large"),
        (b"1" * 100_000, "it has an impossible number"),
        (b"-" + b"1" * 100_000, "it has an impossible number"),
        (b"NaN", "it has an impossible number"),
        (b'{"format":"facauth-export/1","format":"facauth-export/1"}', "a field twice"),
        ("\ufeff{}".encode(), "it is not JSON"),
        ('{"format":"facauth-export/1"}'.encode("utf-16"), "it is not JSON"),
        (b'{"format":"\xff"}', "it is not JSON"),
        (bytes(100), "it is not JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_json_of_ours_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(SetupProblem, match=message):
        read(content, "x", nobody)


def test_a_salt_of_another_length_is_not_used() -> None:
    file = sealed()
    file["kdf"]["salt"] = "QUJD"
    with pytest.raises(SetupProblem, match=r"kdf.salt is not 16 bytes"):
        read(json.dumps(file).encode(), "x", nobody)


@pytest.mark.parametrize("version", ["2", "1.1", "10", "one"])
def test_a_later_format_asks_for_a_later_program(version: str) -> None:
    content = json.dumps({"format": f"facauth-export/{version}", "anything": []}).encode()
    with pytest.raises(SetupProblem, match="update facauth") as refusal:
        read(content, "x", nobody)
    assert refusal.value.reasons[0].code == "import.newer"


def test_a_sealed_file_in_a_sealed_file_is_not_opened() -> None:
    kdf, key = new_lock(known)
    inner = json.dumps({"format": document.FORMAT, "kdf": kdf, "sealed": "QUJD"}).encode()
    within = b64encode(seal(key, inner, document.BOUND)).decode()
    content = json.dumps({"format": document.FORMAT, "kdf": kdf, "sealed": within}).encode()
    with pytest.raises(SetupProblem, match="it is not an object of format, people"):
        read(content, "x", known)


# --- what does not fit ---------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in which Ada is."""
    with Store.open(tmp_path / "store", create=True) as opened:
        take_in(opened, [ADA], CONTRACT, CALIBRATION)
        yield opened


def refused(store: Store, *people: PersonCopy, **more: Any) -> tuple[str, str]:
    """Code and message of a refusal that changed nobody."""
    before = rows(store)
    with pytest.raises(Conflict) as refusal:
        take_in(store, people, CONTRACT, CALIBRATION, **more)
    assert rows(store) == before
    assert refusal.value.exit_code is ExitCode.CONFLICT
    (reason,) = refusal.value.reasons
    assert reason.advice.startswith("nobody was imported; ")
    return reason.code, reason.message


def test_a_name_that_is_there_is_not_merged_even_with_itself(store: Store) -> None:
    for name in (ADA.name, PersonName.parse("ADA")):
        said = refused(store, BOB, replace(ADA, name=name), allow_duplicate=True)
        assert said == ("name.taken", "Ada is enrolled already")


def test_a_face_of_another_name_is_refused_unless_it_is_wanted(store: Store) -> None:
    eve = replace(person("Eve", 1), photos=(photo(1, 5),))
    code, message = refused(store, BOB, eve)
    assert code == "face.enrolled_elsewhere"
    assert message == "Eve: this face is already enrolled as Ada"
    take_in(store, [BOB, eve], CONTRACT, CALIBRATION, allow_duplicate=True)
    assert [row.name for row in store.people()] == ["Ada", "Bob", "Eve"]


def test_a_face_twice_in_the_file_is_refused_unless_it_is_wanted(store: Store) -> None:
    eve = person("Eve", 2)
    assert refused(store, BOB, eve)[0] == "face.enrolled_elsewhere"
    take_in(store, [BOB, eve], CONTRACT, CALIBRATION, allow_duplicate=True)


@pytest.mark.parametrize(
    "photos",
    [
        (photo(5), photo(6)),
        (photo(5), photo(6, at=LATER)),
        (photo(5), photo(5, 1), photo(6, at=LATER)),
        (photo(5), photo(5, 1), photo(5, 2), photo(6)),
    ],
    ids=["of one call", "one after the other", "a later one", "one of four"],
)
def test_photos_of_two_people_are_not_one_person(store: Store, photos: tuple[Photo, ...]) -> None:
    two = replace(person("Two", 5), photos=photos)
    said = refused(store, BOB, two, allow_duplicate=True)
    assert said == ("photos.several_people", "the photos of Two do not show one person")


def test_photos_that_cancel_each_other_out_are_not_one_person(store: Store) -> None:
    here = np.frombuffer(vector(5), "<f4")
    there = [Template(v.tobytes(), None, False) for v in (here, -here, here, -here)]
    nobody = replace(person("No", 5), photos=tuple(Photo(CONTRACT, AT, each) for each in there))
    assert refused(store, nobody)[0] == "photos.several_people"
    split = tuple(Photo(CONTRACT, f"202{i}{AT[4:]}", each) for i, each in enumerate(there))
    assert refused(store, replace(nobody, photos=split))[0] == "photos.several_people"


def test_photos_of_another_contract_are_kept_and_never_compared(store: Store) -> None:
    old = tuple(photo(seed, contract=OLDER) for seed in (1, 6))  # Ada's face, and another
    take_in(store, [replace(BOB, photos=(*BOB.photos, *old))], CONTRACT, CALIBRATION)
    row = store.people(CONTRACT)[1]
    assert (row.name, row.photos, row.needs_new_photo) == ("Bob", 4, 2)


def test_an_import_that_fails_half_way_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [person(f"Person {seed}", seed) for seed in range(10, 15)]
    before, whole, calls = rows(store), Database.write, Counter[str]()

    def full(*arguments: Any) -> int:
        calls["write"] += 1
        if calls["write"] == 13:
            raise SetupProblem
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", full)
        with pytest.raises(SetupProblem):
            take_in(store, people, CONTRACT, CALIBRATION)
    assert rows(store) == before
    take_in(store, people, CONTRACT, CALIBRATION)
    assert len(rows(store)) == 6


def test_without_its_key_an_encrypted_store_gives_and_takes_nothing(tmp_path: Path) -> None:
    with store_at(tmp_path, "store", encrypted=True) as store:
        take_in(store, [ADA], CONTRACT, CALIBRATION)
    (tmp_path / "key").rename(tmp_path / "elsewhere")
    with Store.open(tmp_path / "store", KeyAccess(key_file=tmp_path / "key")) as store:
        for act in (
            lambda: export(store, None, None),
            lambda: take_in(store, [BOB], CONTRACT, CALIBRATION),
        ):
            with pytest.raises(SetupProblem, match="no key file"):
                act()
        assert [row.name for row in store.people()] == ["Ada"]


# --- any bytes -----------------------------------------------------------------------------------

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 10**30, 0.5, float("nan"), float("inf")),
    *("", " ", "\x00", "\x1b[2J", "\ud800", "Ada", "bob", "x" * 200, "QUJD", "%", AT, LATER),
    *([], {}, [[]], {"": ""}, [{}] * 3, CONTRACT, OLDER, numbers(*UNIT), numbers(*[0.1] * 256)),
)


def places(value: Any, holder: Any = None, at: Any = None) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and the key or index there."""
    if holder is not None:
        yield holder, at
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], value, key)


def changed(file: dict[str, Any], chance: random.Random) -> bytes:
    """JSON, changed in a few places: replaced, left out, doubled, exchanged with another."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        spots = list(places(file))
        if not spots:
            break
        (holder, at), (other, there) = chance.choice(spots), chance.choice(spots)
        act = chance.randrange(4)
        if act == 0:
            holder[at] = deepcopy(chance.choice(HOSTILE))
        elif act == 1:
            del holder[at]
        elif act == 2 and isinstance(holder, list):
            holder.append(deepcopy(holder[at]))
        else:
            holder[at] = deepcopy(other[there])
    return json.dumps(file).encode()


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Bytes, changed in a few places: flipped, cut, doubled, put in."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        start, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 10, 1000))
        act = chance.randrange(5)
        if act == 0 and start < len(data):
            data[start] ^= 1 << chance.randrange(8)
        elif act == 1:
            del data[start : start + length]
        elif act == 2:
            data[start:start] = data[start : start + length]
        elif act == 3:
            data[start:start] = chance.choice((b"[", b"{", b'"', b"\\ud800", b",", b"9" * 5000))
        else:
            data[start : start + 4] = chance.randbytes(4)
    return bytes(data)


def inputs(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    people = [replace(ADA, consent=Consent("yes", "the door"), consent_at=LATER), BOB]
    plain, locked = write(people, None), write(people, new_lock(known))
    for number in range(count):
        text = (plain, plain, locked)[number % 3]
        if number % 2:
            yield damaged(text.encode(), chance)
        else:
            yield changed(json.loads(text), chance)


@pytest.mark.slow
def test_whatever_the_bytes_are_all_of_it_comes_in_or_nothing(tmp_path: Path) -> None:
    outcomes = Counter[str]()
    with Store.open(tmp_path / "store", create=True) as store:
        for content in inputs(INPUTS, seed=5):
            try:
                people = read(content, "x", known)
            except FacauthError as refusal:
                outcomes[refusal.reasons[0].code] += 1
                continue
            with store.in_memory() as copy:
                try:
                    take_in(copy, people, CONTRACT, CALIBRATION)
                    assert sorted(export(copy, None, None)[0], key=by_name) == sorted(
                        people, key=by_name
                    )
                    outcomes["imported"] += 1
                except Conflict as refusal:
                    assert rows(copy) == []
                    outcomes[refusal.reasons[0].code] += 1
    assert sum(outcomes.values()) == INPUTS
    assert outcomes["imported"] > 100
    assert set(outcomes) - {"face.enrolled_elsewhere", "photos.several_people"} == {
        *("imported", "import.unsound", "import.newer", "import.not_opened")
    }
