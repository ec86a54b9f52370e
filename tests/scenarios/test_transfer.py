"""export and import: what is written where, what is refused, and what a script sees."""

from __future__ import annotations

import io
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE_S, Facauth, Photo, Result, expected, fragments, killing, tree

from facauth.decision.enrolment import like_somebody
from facauth.store.keys import SCRYPT_N, KeyAccess, KeyKind
from facauth.store.rekey import encrypt
from facauth.store.store import Store
from facauth.transfer import document

EILEEN, JOE, BARACK, AGAIN = "collins.png", "biden_2010.jpg", "obama_2012.jpg", "obama_2010.jpg"
PASSPHRASE = "correct horse battery staple"
VARIABLE = "FACAUTH_EXPORT_PASSPHRASE"
ERASURE = "facauth: facauth remove does not reach this file; delete it when you no longer need it\n"
NOT_ENCRYPTED = (
    "facauth: the file is not encrypted: anybody who can read it gets the biometric data of"
    " these people\n"
)
NO_TERMINAL = "the export needs a passphrase, and there is no terminal to ask for it"
NOBODY_TO_ASK = f"facauth: {NO_TERMINAL}; set {VARIABLE}\n"


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> Facauth:
    """A store that knows Eileen and barack; a passphrase that costs nothing in this process."""
    facauth.knows(Eileen=photo(EILEEN), barack=photo(BARACK))
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    monkeypatch.setitem(SCRYPT_N, 1, 16)
    return facauth


@contextmanager
def elsewhere(facauth: Facauth, monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[Path]:
    """Another store for the commands within."""
    path = facauth.home.parent / "data" / name
    with monkeypatch.context() as patch:
        patch.setenv("FACAUTH_STORE", str(path))
        yield path


def templates(facauth: Facauth) -> list[tuple[object, ...]]:
    sealed = facauth.keeping.encrypted  # with another key each time
    return facauth.rows(
        f"""SELECT name, p.enrolled_at, consent, contract, accepted_spoof, t.enrolled_at
            {"" if sealed else ", encoding, signature"}
        FROM people p JOIN templates t ON t.person_id = p.id ORDER BY name_key, t.id"""
    )


def events(facauth: Facauth, command: str) -> list[tuple[object, ...]]:
    return facauth.rows(
        f"""SELECT e.verdict, p.name, e.reasons FROM events e
        LEFT JOIN people p ON p.uid = e.subject WHERE command = '{command}' ORDER BY e.id"""
    )


# --- export --------------------------------------------------------------------------------------


def test_everybody_goes_to_another_store_and_signs_in_there(
    enrolled: Facauth, photo: Photo
) -> None:
    result = enrolled("export", "--all", "all.json")
    assert result.stdout == "exported 2 people (2 photos)\n"
    assert result.stderr == ERASURE
    before = templates(enrolled)
    enrolled.keeping.renew()
    result = enrolled("import", "all.json")
    assert result.stdout == "imported 2 people (2 photos)\n"
    assert result.stderr == ""
    assert templates(enrolled) == before
    if isinstance(enrolled.store, Path):
        assert stat.S_IMODE(enrolled.store.stat().st_mode) == 0o600
    assert enrolled("sign-in", photo(AGAIN)).stdout == "barack\n"
    enrolled("sign-in", photo(BARACK), exit_code=3)  # the signature came along


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[object]:
    """Has `act` done once while an import compares everybody; what came of it."""
    done: list[object] = []

    def slow(*arguments: Any) -> Any:
        if not done:
            done.append(act())
        return like_somebody(*arguments)

    monkeypatch.setattr("facauth.decision.enrolment.like_somebody", slow)
    return done


def test_others_write_while_an_import_compares(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sign-in of another process, which is a transaction as any is."""
    enrolled("export", "barack", "one.json")
    enrolled("remove", "barack", "--yes")
    done = meanwhile(monkeypatch, lambda: enrolled.process("unlock", "Eileen").stdout)
    assert enrolled("import", "one.json").stdout == "imported barack (1 photo)\n"
    assert done == ["unlocked Eileen (0 failures forgotten)\n"]


def test_what_others_change_while_an_import_compares_is_compared_again(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled("export", "barack", "one.json")
    enrolled("remove", "barack", "--yes")
    rename = partial(enrolled.process, "rename", "Eileen", "BARACK")
    done = meanwhile(monkeypatch, rename)
    answer = enrolled("import", "one.json", "--json", exit_code=6)
    assert len(done) == 1
    assert answer.codes == ["name.taken"]
    assert list(enrolled.names()) == ["BARACK"]


def test_one_person_is_exported_in_any_case_of_the_name(enrolled: Facauth) -> None:
    result = enrolled("export", "BARACK", "one.json")
    assert result.stdout == "exported barack (1 photo)\n"
    enrolled("remove", "barack", "--yes")
    assert enrolled("import", "one.json").stdout == "imported barack (1 photo)\n"
    assert sorted(enrolled.names()) == ["Eileen", "barack"]


def test_of_an_encrypted_export_nothing_can_be_read(enrolled: Facauth) -> None:
    enrolled("export", "--all", "all.json")
    file = json.loads((enrolled.here / "all.json").read_text())
    assert list(file) == ["format", "kdf", "sealed"]
    from base64 import b64decode

    inside = b64decode(file["sealed"])
    assert b"barack" not in inside
    for encoding, signature in enrolled.rows("SELECT encoding, signature FROM templates"):
        assert isinstance(encoding, bytes)
        assert isinstance(signature, bytes)
        assert [each for each in fragments(encoding + signature) if each in inside] == []


def test_a_plain_export_can_be_read_and_says_so(enrolled: Facauth) -> None:
    result = enrolled("export", "barack", "--plain", "one.json")
    assert result.stderr == NOT_ENCRYPTED + ERASURE
    file = json.loads((enrolled.here / "one.json").read_text())
    ((name, at, *_),) = [row for row in templates(enrolled) if row[0] == "barack"]
    assert file["format"] == "facauth-export/1"
    assert [(each["name"], each["enrolled_at"]) for each in file["people"]] == [(name, at)]
    assert enrolled("export", "barack", "--plain", "two.json", "--quiet").stderr == ""


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_an_export_is_for_its_owner_whatever_the_umask(enrolled: Facauth, mask: int) -> None:
    before = os.umask(mask)
    try:
        enrolled("export", "--all", "all.json")
    finally:
        os.umask(before)
    assert [(name, mode) for name, (mode, _) in tree(enrolled.here).items()] == [
        ("all.json", "0o600")
    ]


def test_nothing_is_written_over(enrolled: Facauth) -> None:
    (enrolled.here / "diary.txt").write_text("dear diary")
    (enrolled.here / "link").symlink_to("nowhere")
    for out in ("diary.txt", "link", "."):
        result = enrolled("export", "--all", out, exit_code=2)
        assert result.stderr == f"facauth: {out} exists already; name a new file\n"
    assert tree(enrolled.here) == {
        "diary.txt": tree(enrolled.here)["diary.txt"],
        "link": ("0o777", "folder"),
    }
    assert events(enrolled, "export") == []


def test_what_appears_at_the_last_moment_is_not_written_over(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = enrolled.here / "all.json"
    for linkless in (False, True):

        def place(path: Path, part: Path, linkless: bool = linkless) -> None:
            out.write_text("dear diary")
            raise PermissionError(1, "no links here") if linkless else FileExistsError

        with monkeypatch.context() as patch:
            patch.setattr(Path, "hardlink_to", place)
            result = enrolled("export", "--all", "all.json", exit_code=2)
        assert result.stderr == "facauth: all.json exists already; name a new file\n"
        assert [path.name for path in enrolled.here.iterdir()] == ["all.json"]
        assert out.read_text() == "dear diary"
        out.unlink()


def test_a_folder_that_has_no_links_gets_a_whole_file_too(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(path: Path, part: Path) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", none)
    enrolled("export", "--all", "all.json")
    assert [path.name for path in enrolled.here.iterdir()] == ["all.json"]
    enrolled("import", "all.json", exit_code=6)


@pytest.mark.parametrize("out", ["no/such/folder.json", "diary.txt/all.json", "a\0b", "x" * 300])
def test_where_nothing_can_be_written_nobody_is_asked_for_a_passphrase(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (enrolled.here / "diary.txt").write_text("dear diary")
    monkeypatch.delenv(VARIABLE)
    result = enrolled("export", "--all", out, "--json", exit_code=2)
    assert result.codes == ["export.unwritable"]


def test_a_full_disk_leaves_nothing(enrolled: Facauth, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = enrolled("export", "--all", "all.json", exit_code=2)
    assert result.stderr == (
        "facauth: all.json cannot be written: No space left on device; name another\n"
    )
    assert tree(enrolled.here) == {}


def test_who_was_exported_is_logged_and_not_where_to(enrolled: Facauth) -> None:
    enrolled("export", "Eileen", "secret-place.json")
    enrolled("export", "--all", "--plain", "-")
    assert events(enrolled, "export") == [
        ("exported", "Eileen", None),
        ("exported", "barack", None),
        ("exported", "Eileen", None),
    ]
    assert b"secret-place" not in enrolled.keeping.content()


def test_nobody_is_exported_who_is_not_there(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    result = enrolled("export", "Ada", "ada.json", exit_code=6)
    assert result.stderr == "facauth: nobody is enrolled as Ada; see facauth list\n"
    with elsewhere(enrolled, monkeypatch, "new.sqlite3") as path:
        for whom in ("--all", "Ada"):
            result = enrolled("export", whom, "x.json", exit_code=7)
            assert result.stderr == (
                f"facauth: there is no store at {path}; facauth register creates it\n"
            )
            assert not path.exists()
        Store.open(path, create=True).close()
        result = enrolled("export", "--all", "all.json", exit_code=6)
        assert result.stderr == f"facauth: nobody is enrolled in {path}; name another store\n"
    assert tree(enrolled.here) == {}


@pytest.mark.parametrize(
    "arguments",
    ["export", "export all.json", "export --all Ada all.json", "export a b c", "import"],
)
def test_calls_that_cannot_be_meant_are_usage(enrolled: Facauth, arguments: str) -> None:
    assert enrolled(*arguments.split(), exit_code=2).stdout == ""
    assert tree(enrolled.here) == {}


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [[], ["--plain"]])
def test_an_export_goes_through_a_pipe(enrolled: Facauth, plain: list[str]) -> None:
    result = enrolled("export", "--all", "-", *plain)
    assert result.stderr == NOT_ENCRYPTED * len(plain) + ERASURE
    before = templates(enrolled)
    enrolled.keeping.renew()
    enrolled("import", "-", stdin=result.stdout.encode())
    assert templates(enrolled) == before


def test_two_things_on_stdout_are_one_too_many(enrolled: Facauth) -> None:
    result = enrolled("export", "--all", "-", "--json", exit_code=2)
    assert result.json["reasons"][0]["message"] == "--json and - both write to stdout"


def test_the_envelope_of_both_commands(enrolled: Facauth) -> None:
    people = [{"name": "barack", "photos": 1}, {"name": "Eileen", "photos": 1}]
    one, everybody = (
        enrolled("export", *words, "--json").json
        for words in (("barack", "one.json"), ("--all", "all.json"))
    )
    assert (one["verdict"], one["person"], one["people"]) == ("exported", "barack", people[:1])
    assert (everybody["person"], everybody["people"]) == (None, people)
    refused = enrolled("import", "all.json", "--json", exit_code=6)
    assert (refused.json["verdict"], refused.json["people"]) == ("conflict", None)
    assert refused.codes == ["name.taken"]
    enrolled.keeping.renew()
    result = enrolled("import", "all.json", "--json")
    assert (result.json["verdict"], result.json["people"]) == ("imported", people)
    assert result.stderr == ""


# --- the passphrase ------------------------------------------------------------------------------


@pytest.mark.slow
def test_where_nobody_can_be_asked_it_says_what_to_do(enrolled: Facauth) -> None:
    enrolled.process("export", "--all", "all.json", env={VARIABLE: PASSPHRASE})
    before = tree(enrolled.here), enrolled.enrolled()
    for arguments in (("export", "--all", "more.json"), ("import", "all.json")):
        result = without_a_terminal(enrolled, *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", NOBODY_TO_ASK)
    assert (tree(enrolled.here), enrolled.enrolled()) == before


def without_a_terminal(facauth: Facauth, *arguments: str) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "facauth", *arguments],
        cwd=facauth.here,
        env=facauth.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
        start_new_session=True,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_at_a_terminal_the_passphrase_is_asked_for_twice_and_not_shown(enrolled: Facauth) -> None:
    shown = at_a_terminal(enrolled, [PASSPHRASE] * 2, "export", "--all", "all.json")
    assert "new passphrase, for the export: " in shown
    assert "new passphrase again, for the export: " in shown
    assert "exported 2 people (2 photos)" in shown
    assert PASSPHRASE not in shown
    enrolled.keeping.renew()
    shown = at_a_terminal(enrolled, [PASSPHRASE], "import", "all.json")
    assert "passphrase of the export: " in shown
    assert "imported 2 people (2 photos)" in shown
    assert sorted(enrolled.names()) == ["Eileen", "barack"]


def test_two_passphrases_at_a_terminal_must_be_one(enrolled: Facauth) -> None:
    typed = [PASSPHRASE, PASSPHRASE.title()]
    shown = at_a_terminal(enrolled, typed, "export", "--all", "all.json", exit_code=2)
    assert "facauth: the two passphrases differ; enter the same one twice" in shown
    assert tree(enrolled.here) == {}


def at_a_terminal(facauth: Facauth, answers: list[str], *arguments: str, exit_code: int = 0) -> str:
    """The real program on a terminal of its own, with an answer for each question: all of it."""
    ours, its = pty.openpty()
    script = 'exec "$@" <"$0" >"$0" 2>"$0"'
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
    with process, closing(io.FileIO(ours, "r+")) as terminal, killing(process), suppress(OSError):
        while piece := terminal.read(4096):  # EIO: nobody has the other side any more
            shown += piece
            if waiting and piece.endswith(b": "):
                terminal.write(f"{waiting.pop(0)}\n".encode())
    assert waiting == []
    return expected(Result(process.returncode, shown.decode(), ""), exit_code).stdout


def test_a_short_passphrase_is_refused(enrolled: Facauth, monkeypatch: pytest.MonkeyPatch) -> None:
    for short in ("", "hunter2"):
        monkeypatch.setenv(VARIABLE, short)
        result = enrolled("export", "--all", "all.json", exit_code=2)
        assert "the passphrase is too short; use 15 characters or more" in result.stderr
    assert tree(enrolled.here) == {}


def test_a_wrong_passphrase_and_an_altered_file_open_nothing(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled("export", "--all", "all.json")
    file = enrolled.here / "all.json"
    text = file.read_text()
    middle = len(text) // 2
    letter = "A" if text[middle] != "A" else "B"
    (enrolled.here / "altered.json").write_text(text[:middle] + letter + text[middle + 1 :])
    with elsewhere(enrolled, monkeypatch, "new.sqlite3") as path:
        enrolled("import", "altered.json", exit_code=7)
        monkeypatch.setenv(VARIABLE, PASSPHRASE[:-1])
        result = enrolled("import", "all.json", exit_code=7)
        assert result.stderr == (
            "facauth: all.json is not opened by this passphrase, or was altered;"
            " enter the passphrase of the export\n"
        )
        assert not path.exists()


# --- import --------------------------------------------------------------------------------------


def test_a_name_that_is_there_is_refused_with_everybody_else(enrolled: Facauth) -> None:
    enrolled("export", "--all", "all.json")
    enrolled("remove", "Eileen", "--yes")
    before = enrolled.enrolled()
    result = enrolled("import", "all.json", exit_code=6)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: barack is enrolled already;"
        " nobody was imported; rename or remove the enrolled person first\n"
    )
    assert enrolled.enrolled() == before
    assert events(enrolled, "import") == [("conflict", None, "name.taken")]


def test_a_face_that_has_another_name_is_refused_unless_it_is_wanted(enrolled: Facauth) -> None:
    enrolled("export", "--all", "all.json")
    enrolled("rename", "barack", "Somebody")
    enrolled("remove", "Eileen", "--yes")
    result = enrolled("import", "all.json", exit_code=6)
    assert result.stderr == (
        "facauth: barack: this face is already enrolled as Somebody;"
        " nobody was imported; --allow-duplicate takes both\n"
    )
    assert enrolled.names() == {"Somebody": 1}
    enrolled("import", "all.json", "--allow-duplicate")
    assert sorted(enrolled.names()) == ["Eileen", "Somebody", "barack"]
    assert events(enrolled, "import")[1:] == [
        ("imported", "barack", None),
        ("imported", "Eileen", None),
    ]


@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_photos_of_other_networks_come_along_and_need_new_ones(
    enrolled: Facauth, photo: Photo
) -> None:
    enrolled.change("UPDATE templates SET contract = 'older/1' WHERE person_id = 1")
    enrolled("export", "--all", "all.json")
    enrolled.keeping.renew()
    result = enrolled("import", "all.json")
    assert result.stderr == (
        "facauth: some people need a new photo: their photos were encoded by other networks\n"
    )
    people = enrolled("list", "--json").json["people"]
    assert [(row["name"], row["needs_new_photo"]) for row in people] == [
        ("barack", 0),
        ("Eileen", 1),
    ]
    enrolled("sign-in", photo(EILEEN), exit_code=1)
    assert enrolled("sign-in", photo(AGAIN)).stdout == "barack\n"


def test_consent_and_times_are_kept(enrolled: Facauth) -> None:
    enrolled.change(
        """UPDATE people SET enrolled_at = '2020-02-29T12:00:00+00:00', consent = 'by hand',
        purpose = 'the door', consent_at = '2020-02-28T12:00:00+00:00' WHERE id = 1"""
    )
    query = "SELECT name, enrolled_at, consent, purpose, consent_at FROM people ORDER BY name"
    before = enrolled.rows(query)
    enrolled("export", "--all", "all.json")
    enrolled.keeping.renew()
    enrolled("import", "all.json")
    assert enrolled.rows(query) == before
    assert enrolled("list").stdout.splitlines()[1].split("\t")[2] == "2020-02-29T12:00:00+00:00"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"dear diary", "it is not JSON"),
        (b'{"format": "facauth-export/1", "people": [{"name": "\\u001b[2J"}]}', "people[0] is not"),
        (b'{"format": "facauth-export/1", "people": []}', "it holds no people"),
    ],
)
def test_what_is_no_export_is_refused_in_one_line(
    facauth: Facauth, content: bytes, message: str
) -> None:
    (facauth.here / "x\x1b[2J.json").write_bytes(content)
    result = facauth("import", "x\x1b[2J.json", exit_code=7)
    assert result.stderr.startswith(f"facauth: x\\x1b[2J.json is not a sound export: {message}")
    assert result.stderr.endswith("; nothing was imported; export it again\n")
    assert result.stderr.count("\n") == 1
    assert facauth("import", "-", "--json", stdin=content, exit_code=7).codes == ["import.unsound"]
    assert facauth.keeping.is_untouched()


def test_a_later_format_is_left_to_a_later_program(facauth: Facauth) -> None:
    result = facauth("import", "-", stdin=b'{"format": "facauth-export/2"}', exit_code=7)
    assert result.stderr.endswith("; update facauth\n")


def test_what_is_not_a_file_is_not_read(facauth: Facauth) -> None:
    os.mkfifo(facauth.here / "fifo")
    (facauth.here / "loop").symlink_to("loop")
    for source in ("/dev/zero", "fifo", ".", "loop", "a\0b"):
        result = facauth("import", source, "--json", exit_code=2)
        assert result.codes == ["import.unreadable"]
    result = facauth("import", "absent.json", exit_code=2)
    assert result.stderr == "facauth: absent.json does not exist; check the path\n"
    assert facauth.keeping.is_untouched()


def test_a_file_without_end_is_not_read_to_its_end(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 2**20)
    file = facauth.here / "sparse.json"
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    result = facauth("import", "sparse.json", exit_code=7)
    assert "sparse.json is not a sound export: it is too large" in result.stderr


# --- encrypted stores ----------------------------------------------------------------------------


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_an_encrypted_store_gives_and_takes_with_its_key_only(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = enrolled.home / "key"
    encrypt(enrolled.store, KeyKind.FILE, KeyAccess(key_file=key))
    enrolled("export", "--all", "all.json", "--key-file", str(key))
    before = enrolled.enrolled()
    for arguments in (("export", "--all", "more.json"), ("import", "all.json")):
        for more in ((), ("--key-file", "absent")):
            result = enrolled(*arguments, *more, "--json", exit_code=7)
            assert result.codes == ["key.missing"]
    assert enrolled.enrolled() == before
    with elsewhere(enrolled, monkeypatch, "plain.sqlite3"):
        enrolled("import", "all.json")
        assert len(enrolled("list").stdout.splitlines()) == 2
    for name in ("Eileen", "barack"):
        enrolled("remove", name, "--yes", "--key-file", str(key))
    enrolled("import", "all.json", "--key-file", str(key))
    assert sorted(enrolled.names()) == ["Eileen", "barack"]
