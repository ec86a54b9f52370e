"""`facauth key`, and what is left of every command without the key: exit code 7, nothing else."""

from __future__ import annotations

import io
import os
import pty
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import keyring
import pytest
from conftest import Facauth, Photo, killing, tree
from keyring.backend import KeyringBackend

from facauth.store.keys import MIN_PASSPHRASE_CHARACTERS

PASSPHRASE = "correct horse battery staple"
ANOTHER = "another horse battery staple"


@pytest.fixture
def ada(facauth: Facauth, photo: Photo) -> Facauth:
    """A store with one person, not encrypted."""
    facauth.knows(Ada=photo("obama_2009.jpg"))
    return facauth


@pytest.fixture
def locked(ada: Facauth) -> Facauth:
    """The same, encrypted with a key file in its usual place."""
    ada.encrypt()
    return ada


def default_key(facauth: Facauth) -> Path:
    return facauth.home / "config" / "facauth" / "facauth.key"


def sign_in(facauth: Facauth, photo: Photo, *more: str, exit_code: int = 0) -> str:
    return facauth("sign-in", photo("obama_2012.jpg"), *more, exit_code=exit_code).stdout


def lock_row(facauth: Facauth) -> tuple[Any, ...] | None:
    rows = facauth.rows("SELECT * FROM key_lock")
    return rows[0] if rows else None


# --- init ----------------------------------------------------------------------------------------


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_init_encrypts_what_is_there(ada: Facauth, photo: Photo) -> None:
    result = ada("key", "init")
    assert result.stdout == f"encrypted {ada.store}\n"
    assert f"the key is in {default_key(ada)}" in result.stderr
    assert "without its key file the store cannot be opened again" in result.stderr
    assert "key export" in result.stderr
    assert stat.S_IMODE(default_key(ada).stat().st_mode) == 0o600
    assert sign_in(ada, photo) == "Ada\n"
    assert sign_in(ada, photo, "--as", "ada") == "Ada\n"
    assert ada.events()[-3][:2] == ("key", "encrypted")


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_init_says_in_json_where_the_key_is_and_never_what_it_is(ada: Facauth) -> None:
    answer = ada("key", "init", "--json")
    assert {name: answer.json[name] for name in ("kind", "generation", "key_file")} == {
        "kind": "file",
        "generation": 1,
        "key_file": str(default_key(ada)),
    }
    assert (answer.json["command"], answer.json["verdict"]) == ("key init", "encrypted")
    *_, key = default_key(ada).read_text().split()
    assert key not in answer.stdout + answer.stderr


def test_init_makes_a_store_that_is_encrypted_from_the_start(
    facauth: Facauth, photo: Photo
) -> None:
    facauth.keeping.remove()
    facauth("key", "init")
    if isinstance(facauth.store, Path):
        assert stat.S_IMODE(facauth.store.stat().st_mode) == 0o600
    facauth("register", "Ada", photo("obama_2009.jpg"))
    assert facauth.rows("SELECT count(*) FROM people WHERE wrapped_key IS NOT NULL") == [(1,)]
    assert sign_in(facauth, photo) == "Ada\n"


@pytest.mark.parametrize("again", [(), ("--keyring",), ("--passphrase",), ("--key-file", "new")])
def test_a_store_is_encrypted_once(locked: Facauth, again: tuple[str, ...]) -> None:
    before = tree(locked.home.parent)
    answer = locked("key", "init", "--json", *again, exit_code=6)
    assert answer.codes == ["key.already"]
    assert "key rotate" in answer.json["reasons"][0]["advice"]
    assert [answer.json[name] for name in ("kind", "generation", "key_file")] == [None] * 3
    assert tree(locked.home.parent) == before


@pytest.mark.parametrize("by", ["option", "variable"])
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_key_file_in_another_place(
    ada: Facauth, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    place = tmp_path / "keys" / "mine"
    option: tuple[str, ...] = ("--key-file", str(place))
    if by == "variable":
        monkeypatch.setenv("FACAUTH_KEY_FILE", str(place))
        option = ()
    result = ada("key", "init", *option)
    assert "every command needs --key-file" in result.stderr
    assert not default_key(ada).exists()
    assert sign_in(ada, photo, *option) == "Ada\n"
    monkeypatch.delenv("FACAUTH_KEY_FILE", raising=False)
    assert sign_in(ada, photo, exit_code=7) == ""


@pytest.mark.parametrize(
    "options",
    [
        ("--keyring", "--passphrase"),
        ("--keyring", "--key-file", "new"),
        ("--passphrase", "--key-file", "new"),
    ],
)
def test_a_key_is_kept_in_one_place(ada: Facauth, options: tuple[str, ...]) -> None:
    before = tree(ada.home.parent)
    assert ada("key", "init", *options, "--json", exit_code=2).codes == ["usage"]
    assert tree(ada.home.parent) == before


@pytest.mark.parametrize("what", [(), ("init", "more"), ("export",), ("init", "--secret")])
def test_calls_that_cannot_be_meant(facauth: Facauth, what: tuple[str, ...]) -> None:
    facauth("key", *what, exit_code=2)
    assert facauth.keeping.is_untouched()


def test_two_stores_share_a_key_file(locked: Facauth, photo: Photo, tmp_path: Path) -> None:
    other = str(tmp_path / "other.sqlite3")
    locked("key", "init", "--store", other)
    locked("register", "Joe", photo("biden_2010.jpg"), "--store", other)
    assert len(default_key(locked).read_text().splitlines()) == 2
    assert sign_in(locked, photo) == "Ada\n"
    locked("key", "rotate", "--store", other)
    assert sign_in(locked, photo) == "Ada\n"


# --- passphrase and keyring ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_passphrase(ada: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACAUTH_PASSPHRASE", PASSPHRASE)
    answer = ada("key", "init", "--passphrase", "--json")
    assert (answer.json["kind"], answer.json["key_file"]) == ("passphrase", None)
    assert not default_key(ada).exists()
    assert sign_in(ada, photo) == "Ada\n"
    monkeypatch.setenv("FACAUTH_PASSPHRASE", ANOTHER)
    refusal = ada("sign-in", photo("obama_2012.jpg"), "--json", exit_code=7)
    assert refusal.codes == ["key.wrong"]
    assert PASSPHRASE not in answer.stdout + refusal.stdout


def test_a_passphrase_that_is_too_short_makes_no_store(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    facauth.keeping.remove()
    monkeypatch.setenv("FACAUTH_PASSPHRASE", "x" * (MIN_PASSPHRASE_CHARACTERS - 1))
    assert facauth("key", "init", "--passphrase", "--json", exit_code=2).codes == ["key.passphrase"]
    assert facauth.keeping.is_untouched()


@pytest.mark.slow
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_rotation_asks_for_the_old_and_the_new_passphrase(
    ada: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACAUTH_PASSPHRASE", PASSPHRASE)
    ada("key", "init", "--passphrase")
    monkeypatch.setenv("FACAUTH_NEW_PASSPHRASE", ANOTHER)
    assert ada("key", "rotate", "--json").json["generation"] == 2
    assert sign_in(ada, photo, exit_code=7) == ""
    monkeypatch.setenv("FACAUTH_PASSPHRASE", ANOTHER)
    assert sign_in(ada, photo) == "Ada\n"


def on_its_terminal(facauth: Facauth, *arguments: str, answers: list[str]) -> tuple[int, str]:
    """Exit code and all that is shown, where each prompt for a passphrase is answered."""
    ours, its = pty.openpty()
    script = 'exec "$@" <"$0" >"$0" 2>&1'
    process = subprocess.Popen(
        ["sh", "-c", script, os.ttyname(its), sys.executable, "-m", "facauth", *arguments],
        cwd=facauth.here,
        env=facauth.environment(),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    shown, waiting = b"", list(answers)
    with process, closing(io.FileIO(ours, "r+")) as terminal, killing(process):
        with suppress(OSError):  # EIO: the program has ended
            while piece := terminal.read(4096):
                shown += piece
                if shown.endswith(b": ") and waiting:
                    terminal.write(f"{waiting.pop(0)}\n".encode())
        process.wait(timeout=60)
    return process.returncode, shown.decode()


@pytest.mark.slow
def test_a_new_passphrase_is_asked_for_twice(facauth: Facauth) -> None:
    facauth.keeping.remove()
    code, shown = on_its_terminal(
        facauth, "key", "init", "--passphrase", answers=[PASSPHRASE, PASSPHRASE]
    )
    assert code == 0, shown
    assert "new passphrase: " in shown
    assert "new passphrase again: " in shown
    assert PASSPHRASE not in shown
    code, shown = on_its_terminal(facauth, "key", "rotate", answers=[PASSPHRASE, ANOTHER, ANOTHER])
    assert code == 0, shown
    code, shown = on_its_terminal(facauth, "remove", "Nobody", "--yes", answers=[ANOTHER])
    assert (code, "nobody is enrolled as Nobody" in shown) == (6, True), shown


def test_a_mistyped_passphrase_makes_no_store(facauth: Facauth) -> None:
    facauth.keeping.remove()
    answers = [PASSPHRASE, ANOTHER]
    code, shown = on_its_terminal(facauth, "key", "init", "--passphrase", answers=answers)
    assert (code, "the two passphrases differ" in shown) == (2, True), shown
    assert facauth.keeping.is_untouched()


def test_nobody_to_ask(facauth: Facauth) -> None:
    facauth.keeping.remove()
    result = facauth.shell('setsid -w "$@" key init --passphrase --json </dev/null', 7)
    assert result.codes == ["key.missing"]
    assert facauth.keeping.is_untouched()


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_the_system_keyring(ada: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    monkeypatch.setattr(keyring.core, "_keyring_backend", ring)
    answer = ada("key", "init", "--keyring", "--json").json
    assert (answer["kind"], answer["key_file"]) == ("keyring", None)
    assert sign_in(ada, photo) == "Ada\n"
    before = dict(ring.kept)
    ada("key", "rotate")
    assert len(ring.kept) == 1
    assert ring.kept.keys().isdisjoint(before)
    assert sign_in(ada, photo) == "Ada\n"
    ring.kept.clear()
    refusal = ada("sign-in", photo("obama_2012.jpg"), "--json", exit_code=7)
    assert refusal.codes == ["key.keyring"]


# --- rotate and export ---------------------------------------------------------------------------


def test_rotation_changes_every_sealed_byte(locked: Facauth, photo: Photo) -> None:
    sealed = "SELECT p.wrapped_key, t.encoding, t.signature FROM people p, templates t"
    before, key = [lock_row(locked), *locked.rows(sealed)[0]], default_key(locked).read_text()
    answer = locked("key", "rotate", "--json").json
    assert (answer["kind"], answer["generation"]) == ("file", 2)
    after = [lock_row(locked), *locked.rows(sealed)[0]]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert default_key(locked).read_text().split()[1:] != key.split()[1:]
    assert len(default_key(locked).read_text().splitlines()) == 1
    assert sign_in(locked, photo) == "Ada\n"


def test_the_old_key_opens_nothing_after_a_rotation(
    locked: Facauth, photo: Photo, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    locked("key", "export", str(copy))
    assert sign_in(locked, photo, "--key-file", str(copy)) == "Ada\n"
    said = locked("key", "rotate").stderr
    assert "copies of the old key no longer open the store" in said
    sign_in(locked, photo, "--key-file", str(copy), exit_code=7)
    store, generation, _ = default_key(locked).read_text().split()[1:]
    copy.write_text(f"facauth-key/1 {store} {generation} {copy.read_text().split()[3]}\n")
    refusal = locked(
        "sign-in", photo("obama_2012.jpg"), "--key-file", str(copy), "--json", exit_code=7
    )
    assert refusal.codes == ["key.wrong"]


@pytest.mark.parametrize("command", ["rotate", "export"])
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_store_that_is_not_encrypted_has_no_key(ada: Facauth, command: str) -> None:
    before = tree(ada.home.parent)
    more = ["out"] if command == "export" else []
    answer = ada("key", command, *more, "--json", exit_code=7)
    assert answer.codes == ["key.not_encrypted"]
    assert tree(ada.home.parent) == before


@pytest.mark.parametrize("command", ["rotate", "export"])
def test_a_store_that_is_not_there_has_no_key(facauth: Facauth, command: str) -> None:
    facauth.keeping.remove()
    more = ["out"] if command == "export" else []
    facauth("key", command, *more, exit_code=7)
    assert facauth.keeping.is_untouched()


@pytest.mark.parametrize("kind", ["file", "passphrase"])
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_an_exported_key_opens_the_store_alone(
    ada: Facauth, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("FACAUTH_PASSPHRASE", PASSPHRASE)
    ada("key", "init", *(["--passphrase"] if kind == "passphrase" else []))
    copy = tmp_path / "copy"
    answer = ada("key", "export", str(copy), "--json")
    assert (answer.json["kind"], answer.json["key_file"]) == (kind, str(copy))
    assert copy.read_text().split()[3] not in answer.stdout
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert ada.events()[-1][:2] == ("key", "exported")
    monkeypatch.delenv("FACAUTH_PASSPHRASE")
    default_key(ada).unlink(missing_ok=True)
    assert sign_in(ada, photo, "--key-file", str(copy)) == "Ada\n"


@pytest.mark.parametrize("what", ["file", "link", "folder", "store", "no folder"])
def test_an_export_never_writes_over_anything(locked: Facauth, tmp_path: Path, what: str) -> None:
    target = tmp_path / "out"
    if what == "file":
        target.write_text("something")
    elif what == "link":
        target.symlink_to(tmp_path / "nowhere")
    elif what == "folder":
        target.mkdir()
    elif what == "store":
        if not isinstance(locked.store, Path):
            pytest.skip("a store in a database has no path")
        target = locked.store
    else:
        target = tmp_path / "missing" / "out"
    before = tree(tmp_path)
    code = "key.unusable" if what == "no folder" else "key.exists"
    exit_code = 7 if what == "no folder" else 2
    answer = locked("key", "export", str(target), "--json", exit_code=exit_code)
    assert answer.codes == [code]
    assert tree(tmp_path) == before


# --- without the key -----------------------------------------------------------------------------

NEED_THE_KEY = {
    "register": ["register", "Joe", "biden"],
    "register more": ["register", "Ada", "obama"],
    "register --replace": ["register", "Ada", "obama", "--replace"],
    "sign-in": ["sign-in", "obama"],
    "sign-in --as": ["sign-in", "obama", "--as", "Ada"],
    "sign-in --as nobody": ["sign-in", "obama", "--as", "Nobody"],
    "remove": ["remove", "Ada", "--yes"],
    "remove nobody": ["remove", "Nobody", "--yes"],
    "rename": ["rename", "Ada", "Countess"],
    "rename nobody": ["rename", "Nobody", "Countess"],
    "spoof-check": ["spoof-check", "obama", "--against", "Ada"],
    "spoof-check nobody": ["spoof-check", "obama", "--against", "Nobody"],
    "evaluate": ["evaluate", "spoof", "photos", "--store", "STORE"],
    "key rotate": ["key", "rotate"],
    "key export": ["key", "export", "out"],
}
NEED_NO_KEY = (["list"], ["list", "--format", "csv"], ["doctor"])


def take_away(facauth: Facauth, how: str) -> list[str]:
    """Have the key missing, wrong, ..., and what names it on the command line."""
    key = default_key(facauth)
    text = key.read_text()
    mode, store, generation, secret = 0o600, *text.split()[1:]
    other = "A" * 43 + "="
    changed = {
        "wrong": f"facauth-key/1 {store} {generation} {other}\n",
        "of another store": f"facauth-key/1 {'0' * 32} 1 {secret}\n",
        "of another time": f"facauth-key/1 {store} 2 {secret}\n",
        "torn": text[:-10],
        "empty": "",
        "binary": "\x00\xff" * 100,
    }
    if how in changed:
        key.write_text(changed[how])
    elif how == "missing":
        key.unlink()
    elif how == "open to others":
        mode = 0o644
    elif how == "a folder":
        key.unlink()
        key.mkdir()
    elif how == "a link":
        key.rename(key.with_name("elsewhere"))
        key.symlink_to(key.with_name("elsewhere"))
    if key.is_file() and not key.is_symlink():
        key.chmod(mode)
    return ["--key-file", str(key.with_name("nowhere"))] if how == "named elsewhere" else []


WITHOUT = ["missing", "wrong", "of another store", "of another time", "torn", "empty", "binary"]
WITHOUT += ["open to others", "a folder", "a link", "named elsewhere"]


def forbid_all_stages(facauth: Facauth) -> None:
    """Whatever is decoded or compared from now on ends the command with code 70."""

    def never(*_: Any) -> Any:
        raise AssertionError("this stage must not be reached")

    names = ("contract", "decode", "sight", "measure", "liveness", "encode", "compare")
    facauth.bind(**dict.fromkeys((*names, "signature", "replay"), never))


def photos_folder(facauth: Facauth, photo: Photo) -> None:
    for kind in ("live", "attack"):
        folder = facauth.here / "photos" / kind
        folder.mkdir(parents=True)
        (folder / "one.jpg").write_bytes(Path(photo("obama_2012.jpg")).read_bytes())


@pytest.mark.parametrize("how", WITHOUT)
def test_without_the_key_nothing_is_done(locked: Facauth, photo: Photo, how: str) -> None:
    photos_folder(locked, photo)
    words = {"obama": photo("obama_2012.jpg"), "biden": photo("biden_2010.jpg")}
    words["STORE"] = str(locked.store)
    named = take_away(locked, how)
    forbid_all_stages(locked)
    before = tree(locked.home.parent)
    for name, command in NEED_THE_KEY.items():
        result = locked(*(words.get(word, word) for word in command), *named, exit_code=7)
        assert (name, result.stdout) == (name, "")
        lines = result.stderr.splitlines()
        assert len(lines) == 1, (name, lines)
        assert lines[0].startswith("facauth: "), name
        assert tree(locked.home.parent) == before, name


SWAPPED = (
    "CREATE TEMP TABLE old AS SELECT * FROM people; UPDATE people SET name_key = CAST(id AS TEXT);"
)
ALTERED = {
    "names swapped": SWAPPED
    + """UPDATE people SET
        name = (SELECT name FROM old WHERE old.id = 3 - people.id),
        name_key = (SELECT name_key FROM old WHERE old.id = 3 - people.id)""",
    "found by each other's name": SWAPPED
    + "UPDATE people SET name_key = (SELECT name_key FROM old WHERE old.id = 3 - people.id)",
    "photos swapped": "UPDATE templates SET person_id = 3 - person_id",
    "photos copied": """CREATE TEMP TABLE old AS SELECT * FROM templates;
        UPDATE templates SET encoding = (SELECT encoding FROM old WHERE id = 2),
        signature = (SELECT signature FROM old WHERE id = 2)""",
    "signatures gone": "UPDATE templates SET signature = NULL",
    "lock gone": "DELETE FROM key_lock",
    "keys gone": "UPDATE people SET wrapped_key = NULL",
}


@pytest.mark.parametrize("how", ALTERED)
def test_nobody_signs_in_to_an_altered_store(facauth: Facauth, photo: Photo, how: str) -> None:
    facauth.knows(Ada=photo("obama_2009.jpg"), Joe=photo("biden_2010.jpg"))
    facauth.encrypt()
    facauth.change(ALTERED[how])
    for claimed in ((), ("--as", "Ada"), ("--as", "Joe")):
        untouched = how == "photos copied" and "Joe" in claimed
        code = 1 if untouched else 7
        result = facauth("sign-in", photo("obama_2012.jpg"), *claimed, "--json", exit_code=code)
        refused = "store.altered"
        if how == "lock gone" and facauth.keeping.encrypted:
            refused = "store.missing"  # one in a database always has a lock
        assert result.codes == ["match.none" if untouched else refused]
        assert result.json["person"] is None


def test_a_person_who_is_not_found_by_name_signs_in_nobody(locked: Facauth, photo: Photo) -> None:
    """Or else the enrolled picture would be compared with nothing that was kept of it."""
    locked.change("UPDATE people SET name_key = 'another'")
    result = locked("sign-in", photo("obama_2009.jpg"), "--json", exit_code=7)
    assert result.codes == ["store.altered"]


@pytest.mark.sqlite("copies plain rows from one file into another")
def test_a_person_who_was_put_in_signs_in_nobody(locked: Facauth, photo: Photo) -> None:
    """Without a key, and with the plain encoding of a photo of somebody else."""
    other = locked.home / "other.sqlite3"
    locked("register", "Joe", photo("biden_2010.jpg"), "--store", str(other))
    with closing(sqlite3.connect(locked.store)) as db, db:
        db.execute("ATTACH ? AS other", (str(other),))
        db.execute(
            """INSERT INTO people (id, uid, name, name_key, enrolled_at)
            SELECT 2, uid, name, name_key, enrolled_at FROM other.people"""
        )
        db.execute(
            """INSERT INTO templates
            (person_id, contract, encoding, accepted_spoof, learned, enrolled_at)
            SELECT 2, contract, encoding, 0, 0, enrolled_at FROM other.templates"""
        )
    for claimed in ((), ("--as", "Joe")):
        result = locked("sign-in", photo("biden_2010.jpg"), *claimed, "--json", exit_code=7)
        assert result.codes == ["store.altered"]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_key_file_that_cannot_be_read(locked: Facauth, photo: Photo) -> None:
    default_key(locked).chmod(0o000)
    sign_in(locked, photo, exit_code=7)


@pytest.mark.parametrize("command", NEED_NO_KEY, ids=" ".join)
def test_who_is_enrolled_is_known_without_the_key(locked: Facauth, command: list[str]) -> None:
    default_key(locked).unlink()
    before = tree(locked.home.parent)
    assert locked(*command).stdout
    assert tree(locked.home.parent) == before


@pytest.mark.parametrize("command", ["register", "sign-in", "sign-in --as", "remove"])
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_key_is_named_for_a_store_that_is_not_encrypted(
    ada: Facauth, photo: Photo, command: str
) -> None:
    """Somebody may have put it in the place of the one that is."""
    forbid_all_stages(ada)
    before = tree(ada.home.parent)
    words = [photo("obama_2012.jpg") if word == "obama" else word for word in NEED_THE_KEY[command]]
    words = [photo("biden_2010.jpg") if word == "biden" else word for word in words]
    answer = ada(*words, "--key-file", "key", "--json", exit_code=7)
    assert answer.codes == ["key.not_encrypted"]
    assert tree(ada.home.parent) == before


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_key_is_named_for_a_store_that_is_not_there(facauth: Facauth, photo: Photo) -> None:
    forbid_all_stages(facauth)
    person = ("Ada", photo("obama_2009.jpg"))
    answer = facauth("register", *person, "--key-file", "key", "--json", exit_code=7)
    assert answer.codes == ["key.not_encrypted"]
    assert facauth.keeping.is_untouched()


def test_the_key_is_never_said(locked: Facauth, photo: Photo, tmp_path: Path) -> None:
    """Neither in an answer nor in the traceback of an error that nobody foresaw."""
    secret = default_key(locked).read_text().split()[3]

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    locked.bind(encode=broken)
    said = [
        locked("sign-in", photo("obama_2012.jpg"), exit_code=70),
        locked("--debug", "sign-in", photo("obama_2012.jpg"), exit_code=70),
        locked("key", "export", str(tmp_path / "copy")),
        locked("key", "rotate", "--json"),
    ]
    assert not any(secret in result.stdout + result.stderr for result in said)
